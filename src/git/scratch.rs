//! The scratch repository of one push: what `git receive-pack` writes to instead of the state's own repository.
//!
//! It borrows the objects of the real one, has the branch `state` where the pusher saw it, and the hook. Whatever is pushed lands here
//! and nowhere else; the daemon takes over what it finds good through its writer, and the scratch is removed.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::state::oid::Oid;

/// The hook as it stands in `hooks/`, whose every line is for a reader.
const PRE_RECEIVE: &str = include_str!("../../hooks/pre-receive");
/// Where it stands, in the folder of all scratch repositories.
const HOOK: &str = "pre-receive";
/// Where the daemon listens for the hook, in the scratch repository.
pub const SOCKET: &str = "hook.sock";
/// The ref by which git knows that the real repository is whole up to its tip, so that it does not look again.
const TIP_REF: &str = "refs/mrx/tip";
/// The longest path of a socket that the system takes.
const SOCKET_PATH_MAX: usize = 100;

/// A scratch repository; removed when dropped.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// Makes one below `folder` that borrows from `repo`, whose branch `state` stands at `tip`. For whoever pushes it stands at
    /// `seen`. `program` is what the hook runs.
    pub fn new(folder: &Path, repo: &Path, tip: Oid, seen: Oid, program: &Path) -> io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("push-").tempdir_in(folder)?;
        let at = |path: &str| scratch.path().join(path);
        for folder in ["objects/info", "objects/pack", "refs/heads", "refs/mrx", "hooks"] {
            fs::create_dir_all(at(folder))?;
        }
        let objects = fs::canonicalize(repo.join("objects"))?;
        fs::write(at("objects/info/alternates"), format!("{}\n", objects.display()))?;
        fs::write(at("HEAD"), "ref: refs/heads/state\n")?;
        fs::write(at("config"), "[core]\n\tbare = true\n\trepositoryformatversion = 0\n")?;
        if tip != Oid::ZERO {
            fs::write(at("refs/heads/state"), format!("{seen}\n"))?;
        }
        if tip != seen {
            fs::write(at(TIP_REF), format!("{tip}\n"))?;
        }
        symlink(fs::canonicalize(folder.join(HOOK))?, at("hooks/pre-receive"))?;
        symlink(program, at("mrx"))?;
        Ok(Self { folder: scratch })
    }

    /// The repository.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the daemon listens for the hook. The hook's own folder is this one, so for it the path is short.
    pub fn listen(&self) -> io::Result<tokio::net::UnixListener> {
        let socket = self.path().join(SOCKET);
        if socket.as_os_str().len() <= SOCKET_PATH_MAX {
            return tokio::net::UnixListener::bind(socket);
        }
        // The folder by its number: as short as a path can be, wherever the data folder is.
        let folder = fs::File::open(self.path())?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
        tokio::net::UnixListener::bind(PathBuf::from(format!("/proc/self/fd/{number}/{SOCKET}")))
    }
}

/// Makes the folder of scratch repositories, without what pushes of a killed daemon left, and the hook of all of them. It is written
/// once: a program that was written a moment ago may be open for writing in a child that just begins, and then does not run.
pub fn prepare(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut hook = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(folder.join(HOOK))?;
    hook.write_all(PRE_RECEIVE.as_bytes())
}
