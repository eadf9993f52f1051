// @ts-check
import "./wallcast-player.js";
import { play, tokenFromAddress, wallName } from "./page.js";

play(wallName(), tokenFromAddress());
