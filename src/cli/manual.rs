//! Completions for shells, and the manual: both made from the commands themselves, so neither can be out of date.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::error::{CliError, CliResult};
use super::show::Output;
use crate::config::Cli;

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> CliResult<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mrx", &mut text);
    Output::new(false).bytes(&text)
}

/// Writes a page for each command, or prints the first.
pub fn pages(folder: Option<&Path>) -> CliResult<()> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
        rendered.map_err(|error| CliError::local("make the page", error))?;
        return Output::new(false).bytes(&page);
    };
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|error| CliError::local(format!("write the pages to {}", folder.display()), error))?;
    Output::new(false).line(&format!(
        "the manual is in {}: man -l {}",
        folder.display(),
        folder.join("mrx.1").display()
    ))
}
