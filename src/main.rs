//! The program `mrx`: one match on the subcommand.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mrx::backup::save::Besides;
use mrx::clock::Clock;
use mrx::config::{AgentArgs, BackupArgs, Cli, Command, DoctorArgs, LogArgs, RestoreArgs, ServeArgs};
use mrx::daemon::{Daemon, stop_signal};
use mrx::doctor::{self, Level};
use mrx::git::hook;
use mrx::identity::token::OPERATOR_TOKEN;
use mrx::state::history::{Filter, History};
use mrx::state::layout::{DataFolder, RepoName};
use mrx::worker::{self, AgentOptions, AgentToken, Stop};
use mrx::{admin, backup, bench, cli, demo};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::disable_transparent_huge_pages;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// A commit makes and drops some forty small values; this allocator does that in about half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if let Command::Hook(_) = cli.command {
        return hook_of_git();
    }
    let filter = EnvFilter::try_from_env("MRX_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // The memory holds secrets: it is in no core dump, and no other process of this user can read it.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a core dump of this process would hold secrets");
    }
    if matches!(cli.command, Command::Serve(_) | Command::Bench(_)) {
        keep_pages_small();
    }
    // The engine keeps the trees it needs itself; libgit2's own cache of objects would hold them twice.
    git2::opts::enable_caching(false);
    // The one provider of TLS; it being there already is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime(&cli.command).context("start the runtime")?.block_on(run(cli.command))
}

/// The allocator asks for huge pages, and whoever comes first to one would wait until all its 2 MiB are cleared. Every program
/// that is started inherits this: the daemon's are git's, but an agent's are other people's, which get what the machine gives.
fn keep_pages_small() {
    if let Err(error) = disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "memory comes in huge pages");
    }
}

/// A thread for each core; one for the clients of a benchmark, which leave the cores to the daemon that is measured.
fn runtime(command: &Command) -> std::io::Result<Runtime> {
    match command {
        Command::Bench(args) if args.what.is_over_http() => {
            Builder::new_current_thread().enable_all().build()
        }
        _ => Runtime::new(),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Client(command) => return Ok(cli::run(command).await.into()),
        Command::Serve(args) => serve(&args).await,
        Command::Admin(args) => admin::run(args).await,
        Command::Agent(args) => agent(args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Log(args) => log(&args),
        Command::Doctor(args) => doctor(&args),
        Command::Backup(args) => save(&args),
        Command::Restore(args) => restore(&args),
        Command::Bench(args) => bench::run(&args).await,
        Command::Hook(_) => return hook_of_git(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Answers git: the exit code says whether it takes the push.
fn hook_of_git() -> anyhow::Result<ExitCode> {
    let is_taken = hook::run().context("ask the daemon about the push")?;
    Ok(if is_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the daemon until a signal asks it to stop.
async fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let daemon = Daemon::start(args).await?;
    // Whoever reads that it listens may stop it, and it stops in good order.
    let stop = stop_signal();
    let keys = args.data.join("keys");
    // Whoever started us may have stopped reading, and that is no reason to stop.
    let _ = writeln!(
        std::io::stdout(),
        "mrx listens on http://{}\nthe operator's token is {}",
        daemon.address,
        keys.join(OPERATOR_TOKEN).display()
    );
    if let Some(token) = daemon.app.identity.setup_token() {
        let _ = writeln!(
            std::io::stdout(),
            "there is no admin yet; within 15 minutes, make one at\n  http://{}/ui/setup#{}\nor with: mrx admin user add NAME --role admin --data {}",
            daemon.address,
            token.reveal(),
            args.data.display()
        );
    }
    stop.await;
    daemon.stop().await;
    Ok(())
}

/// Runs an agent: the first signal lets it finish its job, the second stops the job.
async fn agent(args: AgentArgs) -> anyhow::Result<()> {
    let program = args.program()?;
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
        program,
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

/// Prints a line a commit, newest first. It needs no daemon and disturbs none.
fn log(args: &LogArgs) -> anyhow::Result<()> {
    let (folder, name) =
        (DataFolder::new(&args.data), args.project.clone().map_or(RepoName::Platform, RepoName::Project));
    if !folder.repo(&name).join("HEAD").is_file() {
        anyhow::bail!("there is no repository {name} in {}", args.data.display());
    }
    let about = args.path_or_id.as_deref().map(str::parse).transpose()?;
    let events =
        History::open(&folder, &name).log(&Filter { about, after: None, limit: args.limit as usize })?;
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

/// Prints what is well and what is not; the exit code says whether anything failed.
fn doctor(args: &DoctorArgs) -> anyhow::Result<()> {
    let found = doctor::examine(&DataFolder::new(&args.data));
    found.iter().for_each(|finding| println!("{finding}"));
    if found.iter().any(|finding| finding.level == Level::Fail) {
        std::process::exit(1);
    }
    Ok(())
}

/// Saves what is new, and says what that was.
fn save(args: &BackupArgs) -> anyhow::Result<()> {
    let besides = Besides { artifacts: args.artifacts, keys: args.keys };
    let saved = backup::save::save(&DataFolder::new(&args.data), &args.to, besides, &Clock::system())?;
    let backup::save::Report { repositories, bundles, bytes, artifacts, keys } = saved;
    println!(
        "{} holds {repositories} repositories; {bundles} new bundles of {bytes} bytes",
        args.to.display()
    );
    if args.artifacts {
        println!("{artifacts} new files of artifacts");
    }
    match args.keys {
        true => println!("{keys} new files of keys: whoever has this backup reads every secret"),
        false => println!("the daemon's keys are not in it: without them no secret can be opened (--keys)"),
    }
    Ok(())
}

/// Makes a data folder, and says what it lacks.
fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let made = backup::restore::restore(&args.from, &args.data, args.keys.as_deref())?;
    let data = args.data.display();
    println!(
        "{data} holds {} repositories, checked by git: {}",
        made.repositories.len(),
        made.repositories.join(", ")
    );
    println!("{} files of artifacts, {} files of keys", made.artifacts, made.keys);
    made.missing.iter().for_each(|sentence| println!("{sentence}"));
    println!("start it with: mrx serve --data {data}");
    Ok(())
}
