//! A disk that fails a chosen call, and that knows what a power cut would leave of it.
//!
//! It works on a real folder, and keeps beside it a model of what is durable: the bytes of each file as of its last
//! sync, and the names of each folder as of the folder's last sync. What came later is a list of writes and of changes
//! of names, of which a power cut keeps any part: sectors of 512 bytes, and whole changes of names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mrx::state::disk::{Disk, DiskFile, RealDisk};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::world::Chance;

const SECTOR: usize = 512;

/// What the chosen call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing, and reports an input/output error; later calls succeed.
    Error,
    /// The same, and every later call fails too.
    Dead,
    /// Nothing, and reports that the disk is full; later calls succeed.
    NoRoom,
    /// Writes the first half and reports that the disk is full; a call that writes nothing is not made.
    Half,
}

/// The call that was chosen to fail.
#[derive(Clone, Debug)]
pub struct Failed {
    /// `write`, `sync`, `create`, …
    pub what: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// Whether that is a journal segment in use: its failure ends the engine.
    pub ends_engine: bool,
}

/// What a power cut left, and what had been answered by then.
pub struct Image<A> {
    /// The folder.
    pub folder: TempDir,
    /// What had been answered.
    pub answered: Vec<A>,
    /// Before which call it was.
    pub call: usize,
}

#[derive(Clone)]
enum Node {
    Folder,
    File(usize),
}

enum NameChange {
    Set(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    unsynced: Vec<Write>,
    in_use: bool,
}

struct Write {
    at: usize,
    bytes: Vec<u8>,
    /// Its sync failed: it may be on the disk or not, and no later sync writes it.
    forgotten: bool,
}

#[derive(Default)]
struct Model {
    calls: usize,
    fail_at: Option<(usize, Fault)>,
    failed: Option<Failed>,
    dead: bool,
    names: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<NameChange>,
    contents: Vec<Content>,
    before_call: Option<BeforeCall>,
}

type BeforeCall = Box<dyn FnMut(usize, &dyn Fn(&mut Chance) -> TempDir) + Send>;

/// The disk. A clone is the same.
#[derive(Clone, Default)]
pub struct ModelDisk(Arc<Mutex<Model>>);

impl ModelDisk {
    /// A disk of which the call with this number, from 0, fails.
    pub fn failing_at(call: usize, fault: Fault) -> Self {
        let disk = Self::default();
        disk.0.lock().fail_at = Some((call, fault));
        disk
    }

    /// Cuts the power before some calls, in as many worlds as that makes; life goes on in this one.
    pub fn imagine_power_cuts<A: Clone + Send + 'static>(
        &self,
        mut chance: Chance,
        one_in: u64,
        answered: Arc<Mutex<Vec<A>>>,
    ) -> Arc<Mutex<Vec<Image<A>>>> {
        let images = Arc::new(Mutex::new(Vec::new()));
        let taken = images.clone();
        self.0.lock().before_call = Some(Box::new(move |call, image| {
            if chance.one_in(one_in) {
                let answered = answered.lock().clone();
                taken.lock().push(Image { folder: image(&mut chance), answered, call });
            }
        }));
        images
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.0.lock().calls
    }

    /// The call that failed, if it came to that.
    pub fn failed(&self) -> Option<Failed> {
        self.0.lock().failed.clone()
    }

    /// What a power cut now leaves of `root`.
    pub fn cut_power(&self, root: &Path, chance: &mut Chance) -> TempDir {
        self.0.lock().image(root, chance)
    }
}

impl Model {
    /// Counts a call and says whether it fails.
    fn call(&mut self, what: &'static str, path: &Path) -> Result<(), Option<Fault>> {
        if self.dead {
            return Err(Some(Fault::Dead));
        }
        let call = self.calls;
        self.calls += 1;
        if let Some(mut before) = self.before_call.take() {
            let root = root_of(&self.names);
            before(call, &|chance| self.image(&root, chance));
            self.before_call = Some(before);
        }
        match self.fail_at {
            Some((at, fault)) if at == call => {
                let content = self.content(path).map(|content| content.in_use);
                let ends_engine = content == Some(true) && matches!(what, "write" | "sync");
                self.failed = Some(Failed { what, path: path.to_owned(), ends_engine });
                self.dead = fault == Fault::Dead;
                Err(Some(fault))
            }
            _ => Ok(()),
        }
    }

    fn content(&mut self, path: &Path) -> Option<&mut Content> {
        match self.names.get(path) {
            Some(Node::File(number)) => self.contents.get_mut(*number),
            _ => None,
        }
    }

    fn new_file(&mut self, path: &Path) -> usize {
        let number = self.contents.len();
        self.contents.push(Content::default());
        self.change(NameChange::Set(path.to_owned(), Node::File(number)));
        number
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn sync_folder(&mut self, folder: &Path) {
        for change in std::mem::take(&mut self.pending) {
            if change.folder() == Some(folder) {
                change.apply(&mut self.durable)
            } else {
                self.pending.push(change)
            }
        }
        if folder.ends_with("journal") {
            // A segment's file is synced under its name when all else of it is done: from then on records go there.
            let in_folder = |path: &&PathBuf| path.parent() == Some(folder);
            let files: Vec<PathBuf> = self.names.keys().filter(in_folder).cloned().collect();
            files
                .iter()
                .for_each(|path| self.content(path).into_iter().for_each(|content| content.in_use = true));
        }
    }

    /// A folder with what is durable of `root`, and any part of the rest.
    fn image(&self, root: &Path, chance: &mut Chance) -> TempDir {
        let target = folder_in_memory();
        let mut names = self.durable.clone();
        // One time in three everything that is not synced is lost, one time nothing, and one time some.
        let luck = chance.below(3);
        let mut keeps = |chance: &mut Chance| luck == 1 || (luck == 2 && chance.one_in(2));
        for change in &self.pending {
            if keeps(chance) {
                change.apply(&mut names);
            }
        }
        for (path, node) in &names {
            let Ok(relative) = path.strip_prefix(root) else { continue };
            let place = target.path().join(relative);
            if !place.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match node {
                Node::Folder => RealDisk.make_folder(&place).unwrap(),
                Node::File(number) => {
                    std::fs::write(&place, self.contents[*number].after_cut(chance, &mut keeps)).unwrap();
                }
            }
        }
        target
    }
}

/// Where the data folder is: the first name of all.
fn root_of(names: &BTreeMap<PathBuf, Node>) -> PathBuf {
    names.keys().next().cloned().unwrap_or_default()
}

/// Where no fsync costs anything: all of this is a model.
pub fn folder_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            NameChange::Set(path, node) => drop(names.insert(path.clone(), node.clone())),
            NameChange::Remove(path) => drop(names.remove(path)),
            NameChange::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
        }
    }

    /// The folder whose sync makes it durable; every rename of ours stays in its folder.
    fn folder(&self) -> Option<&Path> {
        match self {
            NameChange::Set(path, _) | NameChange::Remove(path) | NameChange::Rename(_, path, _) => {
                path.parent()
            }
        }
    }
}

impl Content {
    fn after_cut(&self, chance: &mut Chance, keeps: &mut impl FnMut(&mut Chance) -> bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for write in &self.unsynced {
            for (number, sector) in write.bytes.chunks(SECTOR).enumerate() {
                if keeps(chance) {
                    put(&mut bytes, write.at + number * SECTOR, sector);
                }
            }
        }
        bytes
    }

    fn sync(&mut self) {
        for write in std::mem::take(&mut self.unsynced) {
            if write.forgotten {
                self.unsynced.push(write);
            } else {
                put(&mut self.durable, write.at, &write.bytes);
            }
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        // Bytes that are written again are no longer forgotten.
        let again = at..at + bytes.len();
        self.unsynced.retain(|write| {
            !(write.forgotten && again.contains(&write.at) && write.at + write.bytes.len() <= again.end)
        });
        self.unsynced.push(Write { at, bytes: bytes.to_vec(), forgotten: false });
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.resize(bytes.len().max(at + new.len()), 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

fn error(fault: Option<Fault>) -> io::Error {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    let full = matches!(fault, Some(Fault::NoRoom | Fault::Half));
    io::Error::from_raw_os_error(if full { ENOSPC } else { EIO })
}

impl Disk for ModelDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut model = self.0.lock();
        model.call("open", path).map_err(error)?;
        let file = RealDisk.open(path)?;
        let number = match model.names.get(path) {
            Some(Node::File(number)) => *number,
            _ => model.new_file(path),
        };
        drop(model);
        Ok(Arc::new(ModelFile { disk: self.clone(), path: path.to_owned(), number, file }))
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
        let mut model = self.0.lock();
        model.call("create", path).map_err(error)?;
        let file = RealDisk.create_new(path, mode)?;
        let number = model.new_file(path);
        drop(model);
        Ok(Arc::new(ModelFile { disk: self.clone(), path: path.to_owned(), number, file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut model = self.0.lock();
        model.call("rename", to).map_err(error)?;
        RealDisk.rename(from, to)?;
        let node = model.names[from].clone();
        model.change(NameChange::Rename(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut model = self.0.lock();
        model.call("remove", path).map_err(error)?;
        RealDisk.remove(path)?;
        model.change(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut model = self.0.lock();
        model.call("make", path).map_err(error)?;
        RealDisk.make_folder(path)?;
        model.change(NameChange::Set(path.to_owned(), Node::Folder));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut model = self.0.lock();
        model.call("sync folder", path).map_err(error)?;
        model.sync_folder(path);
        Ok(())
    }
}

struct ModelFile {
    disk: ModelDisk,
    path: PathBuf,
    number: usize,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for ModelFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut model = self.disk.0.lock();
        let called = model.call("write", &self.path);
        let written = match called {
            Ok(()) => bytes,
            Err(Some(Fault::Half)) => &bytes[..bytes.len() / 2],
            Err(fault) => return Err(error(fault)),
        };
        self.file.write_all_at(written, offset)?;
        model.contents[self.number].write(offset as usize, written);
        called.map_err(error)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut model = self.disk.0.lock();
        let called = model.call("sync", &self.path);
        let content = &mut model.contents[self.number];
        match called {
            Ok(()) => content.sync(),
            Err(_) => content.unsynced.iter_mut().for_each(|write| write.forgotten = true),
        }
        called.map_err(error)
    }
}
