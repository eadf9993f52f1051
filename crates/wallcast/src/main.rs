//! The Wallcast binary: read the command line and the configuration, run, say how it ended.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use wallcast::cli::{Cli, Command, RunArgs};
use wallcast::config::{self, Config, Overrides, Problems};
use wallcast::demo::Demo;
use wallcast::{app, logging};

/// glibc's arenas grow with every thread and look like a leak.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something that ran could not go on.
const FAILED: u8 = 1;
/// The command line or the configuration cannot be used; nothing was started.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => {
            write(usage.exit_code == 0, &usage.text);
            return ExitCode::from(usage.exit_code);
        }
    };
    logging::init();
    match cli.command {
        Command::Check(args) => check(&args.file),
        Command::Run(args) => match read(&args) {
            Ok(config) => run(app::Plan::Run(Box::new(config))),
            Err(problems) => unusable(&problems),
        },
        Command::Demo(args) => match Demo::plan(&args.listen.overrides()) {
            Ok(demo) => run(app::Plan::Demo(Box::new(demo))),
            Err(problems) => unusable(&problems),
        },
    }
}

fn read(args: &RunArgs) -> Result<Config, Problems> {
    let flags = args.listen.overrides();
    match &args.config {
        Some(file) => config::load(file, &flags),
        None => Config::from_urls(&args.urls, args.transport.into(), args.layout, args.fit.into(), &flags),
    }
}

fn check(file: &std::path::Path) -> ExitCode {
    match config::load(file, &Overrides::default()) {
        Ok(config) => {
            for warning in &config.warnings {
                write(false, &format!("{warning}\n"));
            }
            write(true, &format!("{}\n", summary(&config, &file.display().to_string())));
            ExitCode::SUCCESS
        }
        Err(problems) => unusable(&problems),
    }
}

fn run(plan: app::Plan) -> ExitCode {
    let outcome = wallcast_ingest::check_ffmpeg().map_err(anyhow::Error::from).and_then(|_versions| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("tokio")
            .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8))
            .enable_all()
            .build()
            .context("could not start the I/O threads")?;
        let outcome = runtime.block_on(app::run(plan));
        // A task that does not end (a resolver stuck in libc) must not hold up the exit.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            write(false, &format!("wallcast: {error:#}\n"));
            ExitCode::from(FAILED)
        }
    }
}

fn unusable(problems: &Problems) -> ExitCode {
    write(false, &format!("{}\n", problems.to_string().trim_end()));
    ExitCode::from(UNUSABLE)
}

fn summary(config: &Config, file: &str) -> String {
    let walls: Vec<String> = config
        .walls
        .iter()
        .map(|wall| {
            format!(
                "{} ({}x{}, {} tiles)",
                wall.name,
                wall.size.width(),
                wall.size.height(),
                wall.arrangement.tiles().len()
            )
        })
        .collect();
    format!("{file} is good. Cameras: {}. Walls: {}.", config.cameras.len(), walls.join(", "))
}

/// To stdout what was asked for, to stderr what went wrong. A closed pipe is the reader's business.
fn write(asked_for: bool, text: &str) {
    let _closed = match asked_for {
        true => std::io::stdout().write_all(text.as_bytes()),
        false => std::io::stderr().write_all(text.as_bytes()),
    };
}
