//! `mrx bench`: how fast this machine and this disk are. Each benchmark prints one JSON object.
//!
//! - [`commits`] the engine alone   - [`http`] claims and reads over HTTP   - [`finished`] among many finished jobs
//! - [`latency`] how soon others learn of a change   - [`retention`] the hourly look at all projects' artifacts   - [`seed`] the folders they run on   - [`server`] the daemon that is measured
//! - [`report`] what is printed

pub mod commits;
pub mod finished;
pub mod http;
pub mod latency;
pub mod report;
pub mod retention;
pub mod seed;
pub mod server;

use anyhow::Context;

use crate::config::{BenchArgs, BenchWhat};

/// Runs one benchmark and prints its report.
pub async fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("mrx-bench-").tempdir_in(".").context("make a folder")?;
    let folder = args.data.as_deref().unwrap_or(temporary.path());
    let (in_flight, jobs, seconds) = (usize::from(args.in_flight), args.jobs, args.seconds);
    let report = match args.what {
        BenchWhat::Commits => commits::run(folder, in_flight, jobs, seconds, args.repack).await?,
        BenchWhat::Claims => http::claims(folder, in_flight, jobs, seconds).await?,
        BenchWhat::Reads => http::reads(folder, in_flight, jobs, seconds).await?,
        BenchWhat::Finished => finished::commits(folder, in_flight, jobs, seconds).await?,
        BenchWhat::Start => finished::start(folder, jobs).await?,
        BenchWhat::Listener => latency::events(folder).await?,
        BenchWhat::Claimer => latency::claimer(folder).await?,
        BenchWhat::GitIdle => latency::git_lag(folder, false, jobs).await?,
        BenchWhat::Retention => retention::rounds(folder, jobs).await?,
        BenchWhat::GitLoad => latency::git_lag(folder, true, jobs).await?,
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
