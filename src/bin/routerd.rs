//! `routerd`: the daemon. Parses, dispatches, exits.

#![warn(clippy::disallowed_methods)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use routerd::daemon::{OpenError, RESCAN, ServeOptions, serve};
use tracing_subscriber::EnvFilter;

#[path = "routerd/allocator.rs"]
mod allocator;

/// Facts that one router observes become desired state on another.
#[derive(Debug, Parser)]
#[command(name = "routerd", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    ///
    /// It watches the manifests under --config, keeps its state under --state, and answers
    /// routerctl on --socket. SIGTERM or SIGINT stops it, a second one at once; SIGHUP makes it
    /// look at the manifests now.
    Serve(ServeArgs),
}

#[derive(Debug, clap::Args)]
struct ServeArgs {
    /// A directory of manifests (read recursively) or a file; may be given more than once
    #[arg(long, value_name = "PATH", env = "ROUTERD_CONFIG", value_delimiter = ':')]
    config: Vec<PathBuf>,
    /// The directory that everything durable lives in
    #[arg(
        long,
        visible_alias = "state-file",
        value_name = "DIR",
        env = "ROUTERD_STATE",
        default_value = routerd::cli::DEFAULT_STATE
    )]
    state: PathBuf,
    /// The control socket [default: STATE/control.sock]
    #[arg(long, value_name = "PATH", env = "ROUTERD_SOCKET")]
    socket: Option<PathBuf>,
    /// Reconcile to the fixed point and exit
    #[arg(long)]
    once: bool,
    /// What to log, such as info or routerd=debug
    #[arg(long, value_name = "FILTER", env = "ROUTERD_LOG", default_value = "info")]
    log: String,
    /// How to log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON lines for programs.
    Json,
}

/// The exit code when there is no usable store, as with routerctl.
const NO_STORE: u8 = 3;

/// Threads that run tasks, at most.
const MAX_WORKERS: usize = 4;
/// How long a thread for blocking work waits for more: longer than from one rescan to the next, or an
/// idle node would wake up once more each time to end it.
const KEEP_BLOCKING: Duration = Duration::from_secs(2 * RESCAN.as_secs());

fn main() -> ExitCode {
    allocator::give_back_soon();
    let Command::Serve(args) = Args::parse().command;
    if let Err(error) = start_logging(&args) {
        eprintln!(
            "error: --log {:?}: {error}\nhint: write it like info or routerd=debug",
            args.log
        );
        return ExitCode::from(2);
    }
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<OpenError>() { NO_STORE } else { 1 })
        }
    }
}

fn start_logging(args: &ServeArgs) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter: EnvFilter = EnvFilter::try_new(&args.log)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn run(args: ServeArgs) -> anyhow::Result<()> {
    // Named crash points, for tests; without the feature this is nothing.
    let _scenario = fail::FailScenario::setup();
    #[cfg(feature = "failpoints")]
    routerd::daemon::crash_points::arm()?;
    let options = ServeOptions {
        config: if args.config.is_empty() { routerd::cli::default_config() } else { args.config },
        state: args.state,
        socket: args.socket,
        once: args.once,
    };
    // A router's daemon waits for disks and plugins, not for processors; and each thread that
    // allocates keeps memory of its own.
    let workers =
        std::thread::available_parallelism().map_or(MAX_WORKERS, |n| n.get().min(MAX_WORKERS));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_keep_alive(KEEP_BLOCKING)
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(options));
    // A scan that hangs on a dead mount must not keep a stopped daemon alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}
