//! Settings of `mrx backup` and `mrx restore`.

use std::path::PathBuf;

use clap::Args;

/// `mrx backup`.
#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// The folder of the backup; give the same one each time.
    #[arg(long)]
    pub to: PathBuf,
    /// The data folder. A daemon may be running on it.
    #[arg(long, default_value = "mrx-data", env = "MRX_DATA")]
    pub data: PathBuf,
    /// Saves the bytes of artifacts too.
    #[arg(long)]
    pub artifacts: bool,
    /// Saves the daemon's keys too. Whoever has them reads every secret: keep such a backup as safe as a password.
    #[arg(long)]
    pub keys: bool,
}

/// `mrx restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// A backup, a clone, a folder of clones, or a bundle.
    pub from: PathBuf,
    /// The data folder to make; there must be nothing in it.
    #[arg(long, default_value = "mrx-data", env = "MRX_DATA")]
    pub data: PathBuf,
    /// A copy of the old data folder's keys, if they are not in the backup.
    #[arg(long)]
    pub keys: Option<PathBuf>,
}
