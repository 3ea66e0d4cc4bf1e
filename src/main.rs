//! The program `mrx`: one match on the subcommand.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use mrx::config::{BenchArgs, BenchWhat, Cli, Command, DoctorArgs, LogArgs, ServeArgs};
use mrx::daemon::{Daemon, stop_signal};
use mrx::doctor::{self, Level};
use mrx::state::history::{Filter, History};
use mrx::state::layout::{DataFolder, RepoName};
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
        Command::Log(args) => log(&args),
        Command::Doctor(args) => doctor(&args),
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

/// Prints a line a commit, newest first. It needs no daemon and disturbs none.
fn log(args: &LogArgs) -> anyhow::Result<()> {
    let (folder, name) = (DataFolder::new(&args.data), args.project.clone().map_or(RepoName::Platform, RepoName::Project));
    if !folder.repo(&name).join("HEAD").is_file() {
        anyhow::bail!("there is no repository {name} in {}", args.data.display());
    }
    let about = args.path_or_id.as_deref().map(str::parse).transpose()?;
    let events = History::open(&folder, &name).log(&Filter { about, after: None, limit: args.limit as usize })?;
    let mut out = std::io::stdout().lock();
    for event in events {
        let (oid, time) = (event.commit.to_string(), event.time.to_string());
        let subject: String = event.subject.chars().filter(|c| !c.is_control()).collect();
        if writeln!(out, "{} {} {}  {subject}", &oid[..10], &time[..10], &time[11..19]).is_err() {
            // Whoever reads has enough.
            break;
        }
    }
    Ok(())
}

fn doctor(args: &DoctorArgs) -> anyhow::Result<()> {
    let found = doctor::examine(&DataFolder::new(&args.data));
    found.iter().for_each(|finding| println!("{finding}"));
    if found.iter().any(|finding| finding.level == Level::Fail) {
        std::process::exit(1);
    }
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
