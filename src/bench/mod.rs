//! `mrx bench`: how fast this machine and this disk are. Each benchmark prints one JSON object.
//!
//! - [`commits`] the engine alone   - [`report`] what is printed

pub mod commits;
pub mod report;

use anyhow::Context;

use crate::config::{BenchArgs, BenchWhat};

/// Runs one benchmark and prints its report.
pub async fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("mrx-bench-").tempdir_in(".").context("make a folder")?;
    let folder = args.data.as_deref().unwrap_or(temporary.path());
    let report = match args.what {
        BenchWhat::Commits => commits::run(folder, args.in_flight.into(), args.jobs, args.seconds).await?,
        _ => anyhow::bail!("soon"),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
