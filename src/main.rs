//! The program `mrx`: one match on the subcommand.

use anyhow::Context;
use clap::Parser;
use mrx::config::{BenchArgs, BenchWhat, Cli, Command, ServeArgs};
use mrx::daemon::{Daemon, stop_signal};
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("MRX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(run(cli.command))
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve(&args).await,
        Command::Bench(args) => bench(&args).await,
        _ => anyhow::bail!("soon"),
    }
}

async fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let daemon = Daemon::start(args).await?;
    println!("mrx listens on http://{}", daemon.address);
    println!("tokens: {}", args.data.join("keys").display());
    stop_signal().await;
    daemon.stop().await;
    Ok(())
}

async fn bench(args: &BenchArgs) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("mrx-bench-").tempdir_in(".").context("make a folder")?;
    let folder = args.data.as_deref().unwrap_or(temporary.path());
    let report = match args.what {
        BenchWhat::Commits => mrx::bench::commits::run(folder, args.in_flight.into(), args.jobs, args.seconds).await?,
        _ => anyhow::bail!("soon"),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
