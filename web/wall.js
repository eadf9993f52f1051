// @ts-check
import "./wallcast-player.js";
import { play, tokenFromAddress, wallName } from "./page.js";

// The token stays in the address: a display that nobody touches has none on show, and must survive a reload.
play(wallName(), tokenFromAddress());
