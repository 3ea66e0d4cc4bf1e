//! A disk that fails a chosen call and forgets, as a machine without power does, what was not synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::state::disk::{Disk, DiskFile, RealDisk};

/// What the failing call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing, and reports an input/output error. Every later call fails too.
    Error,
    /// Nothing, and reports that the disk is full. Later calls succeed.
    NoRoom,
    /// Writes the first half, and reports an error. Every later call fails too.
    Half,
}

/// A write that no sync has made durable: what the file held there before.
struct Unsynced {
    path: PathBuf,
    offset: u64,
    before: Vec<u8>,
    /// Its sync failed, and the kernel holds it for written: only writing it again can make it durable.
    forgotten: bool,
}

#[derive(Default)]
struct Script {
    calls: usize,
    fail_at: Option<(usize, Fault)>,
    dead: bool,
    full: bool,
    unsynced: Vec<Unsynced>,
}

/// The machine's disk with a script.
#[derive(Clone, Default)]
pub struct FaultDisk(Arc<Mutex<Script>>);

impl FaultDisk {
    /// A disk of which the call with this number (from 0) fails.
    pub fn failing_at(call: usize, fault: Fault) -> Self {
        let disk = Self::default();
        disk.0.lock().fail_at = Some((call, fault));
        disk
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.0.lock().calls
    }

    /// Lets no file be made from now on, or lets them be made again.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Lets the sync behind the next write fail, if nobody else uses the disk.
    pub fn fail_next_sync(&self) {
        let mut script = self.0.lock();
        script.fail_at = Some((script.calls + 1, Fault::Error));
    }

    /// Lets the next process use a disk that failed: it reads what was written, durable or not.
    pub fn restart(&self) {
        let mut script = self.0.lock();
        (script.dead, script.fail_at) = (false, None);
        script.unsynced.iter_mut().for_each(|write| write.forgotten = true);
    }

    /// Cuts the power: nothing is written any more, and of what was not synced each sector is lost if `lost` says so.
    pub fn cut_power(&self, mut lost: impl FnMut() -> bool) {
        let mut script = self.0.lock();
        script.dead = true;
        for write in std::mem::take(&mut script.unsynced).iter().rev() {
            let file = RealDisk.open(&write.path).unwrap();
            for (index, sector) in write.before.chunks(512).enumerate() {
                if lost() {
                    file.write_all_at(sector, write.offset + index as u64 * 512).unwrap();
                }
            }
        }
    }

    fn call(&self) -> Result<(), (Fault, io::Error)> {
        let mut script = self.0.lock();
        if script.dead {
            return Err((Fault::Error, io::Error::from_raw_os_error(5)));
        }
        let call = script.calls;
        script.calls += 1;
        match script.fail_at {
            Some((at, fault)) if at == call => {
                script.dead = fault != Fault::NoRoom;
                Err((fault, io::Error::from_raw_os_error(if fault == Fault::NoRoom { 28 } else { 5 })))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultFile { disk: self.clone(), path: path.to_owned(), file })
    }
}

impl Disk for FaultDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.call().map_err(|(_, error)| error)?;
        Ok(self.file(path, RealDisk.open(path)?))
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
        self.call().map_err(|(_, error)| error)?;
        if self.0.lock().full {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(self.file(path, RealDisk.create_new(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call().map_err(|(_, error)| error)?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call().map_err(|(_, error)| error)?;
        self.0.lock().unsynced.retain(|write| write.path != path);
        RealDisk.remove(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.call().map_err(|(_, error)| error)?;
        RealDisk.make_folder(path)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.call().map_err(|(_, error)| error)
    }
}

struct FaultFile {
    disk: FaultDisk,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl FaultFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut before = vec![0; bytes.len()];
        let held = self.file.len()?.saturating_sub(offset).min(bytes.len() as u64) as usize;
        self.file.read_exact_at(&mut before[..held], offset)?;
        self.file.write_all_at(bytes, offset)?;
        let unsynced = &mut self.disk.0.lock().unsynced;
        let again = offset..offset + bytes.len() as u64;
        unsynced
            .retain(|write| !write.forgotten || write.path != self.path || !again.contains(&write.offset));
        unsynced.push(Unsynced { path: self.path.clone(), offset, before, forgotten: false });
        Ok(())
    }
}

impl DiskFile for FaultFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.disk.call() {
            Ok(()) => self.write(bytes, offset),
            Err((Fault::Half, error)) => {
                self.write(&bytes[..bytes.len() / 2], offset)?;
                Err(error)
            }
            Err((_, error)) => Err(error),
        }
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.call().map_err(|(_, error)| error)?;
        self.disk.0.lock().unsynced.retain(|write| write.forgotten || write.path != self.path);
        Ok(())
    }
}
