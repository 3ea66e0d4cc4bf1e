//! The program `mrx`: one match on the subcommand.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use mrx::config::{AgentArgs, Cli, Command, ServeArgs};
use mrx::daemon::{Daemon, stop_signal};
use mrx::worker::{self, AgentOptions, AgentToken, Stop};
use mrx::{bench, demo};
use tracing_subscriber::EnvFilter;

/// A commit makes and drops some forty small values; this allocator does that in about half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("MRX_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // The one provider of TLS; it being there already is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(run(cli.command))
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve(&args).await,
        Command::Agent(args) => agent(args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Bench(args) => bench::run(&args).await,
        Command::Log(_) | Command::Doctor(_) => anyhow::bail!("soon"),
    }
}

/// Runs the daemon until a signal asks it to stop.
async fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let daemon = Daemon::start(args).await?;
    let keys = args.data.join("keys");
    // Whoever started us may have stopped reading, and that is no reason to stop.
    let _ = writeln!(std::io::stdout(), "mrx listens on http://{}\ntokens are in {}", daemon.address, keys.display());
    stop_signal().await;
    daemon.stop().await;
    Ok(())
}

/// Runs an agent: the first signal lets it finish its job, the second stops the job.
async fn agent(args: AgentArgs) -> anyhow::Result<()> {
    let options = AgentOptions {
        daemon: args.daemon,
        token: AgentToken::find(args.token_file.as_deref())?,
        name: args.name,
        labels: args.labels,
        work_dir: args.work_dir,
        sandbox: args.sandbox,
        wait_seconds: args.wait_seconds,
        available_until: args.available_until,
        proxy: args.proxy,
    };
    let (stopper, stop) = Stop::channel();
    let signals = async {
        loop {
            stop_signal().await;
            stopper.signal();
        }
    };
    tokio::select! {
        ended = worker::run(options, stop) => ended,
        () = signals => Ok(()),
    }
}
