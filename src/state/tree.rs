//! A branch's tree in memory: git's own bytes for each folder, loaded when first needed, shared with readers.
//!
//! A folder is kept as the bytes of its git tree object, so a change is a splice of those bytes, and only the
//! folders on the changed path are hashed again. Folders are shared by [`Arc`]: a reader's snapshot costs one count, and a
//! writer copies just the folders that a reader still holds. Knows nothing about commits, refs or what files mean.

use std::cmp::Ordering;
use std::sync::Arc;

use super::oid::{Kind, Oid};
use super::pack::{Draft, Place, Splice};

/// Deltas in one chain; a longer chain makes reading slow, and git's own default is 50.
const DELTA_DEPTH_MAX: u8 = 40;
/// A walk keeps no further folder when so many bytes of them are loaded.
const LOADED_BY_WALK_MAX: usize = 32 << 20;

/// Reads the bytes of a git tree that is not in memory.
pub trait TreeSource {
    /// The content of the tree object `oid`.
    fn tree(&self, oid: Oid) -> Result<Vec<u8>, LoadError>;
}

/// A folder or file could not be read from the repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read {what} from {repo}: {cause}; run `git fsck` there, and restore it from a backup if it is damaged"
)]
pub struct LoadError {
    /// The object or file that was asked for.
    pub what: String,
    /// The repository's folder.
    pub repo: String,
    /// What git said.
    pub cause: String,
}

/// Why an edit cannot be made to a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A folder on the path could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The path goes through a file, or ends at a folder.
    #[error("{0}: there is a file where the path needs a folder, or a folder where it needs a file")]
    Clash(String),
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
    /// The object it names.
    pub oid: Oid,
}

/// A folder.
#[derive(Clone)]
pub struct Tree {
    oid: Oid,
    raw: Vec<u8>,
    kids: Vec<Kid>,
    stored: Option<Stored>,
    touched: Option<Touched>,
    used_in_pack: u64,
}

#[derive(Clone)]
struct Kid {
    name: Box<str>,
    changed: bool,
    tree: Arc<Tree>,
}

/// Where this folder's last written version stands, for the next delta.
#[derive(Clone, Copy)]
struct Stored {
    pack_number: u64,
    place: Place,
}

/// What has changed since the last written version: everything but `prefix` and `suffix`.
#[derive(Clone, Copy)]
struct Touched {
    base_bytes: usize,
    prefix: usize,
    suffix: usize,
}

/// A found entry: its bytes in `raw`.
struct Found {
    start: usize,
    end: usize,
    is_folder: bool,
}

impl Found {
    fn oid(&self, raw: &[u8]) -> Oid {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&raw[self.end - 20..self.end]);
        Oid(bytes)
    }
}

const FOLDER_MODE: &[u8] = b"40000 ";
const FILE_MODE: &[u8] = b"100644 ";

/// Walks the entries of a git tree: `<mode> <name>\0<20 bytes>`, with `40000` for a folder and six digits for all else.
fn entries(raw: &[u8]) -> impl Iterator<Item = (&[u8], Found)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let is_folder = *raw.get(at)? == b'4';
        let start = at + if is_folder { FOLDER_MODE.len() } else { FILE_MODE.len() };
        let name = &raw.get(start..)?;
        // Most folders have names of one character, for which a search costs more than a look.
        let length = if name.get(1) == Some(&0) { 1 } else { memchr::memchr(0, name)? };
        let end = start + length + 21;
        let found = Found { start: at, end, is_folder };
        raw.get(..end)?;
        at = end;
        Some((&name[..length], found))
    })
}

fn find(raw: &[u8], name: &str) -> Option<Found> {
    let name = name.as_bytes();
    // Most differ in their first byte, and a call that compares the rest costs more than the look at it.
    let is_it = |other: &[u8]| other.first() == name.first() && other == name;
    entries(raw).find(|(other, _)| is_it(other)).map(|(_, found)| found)
}

/// Whether a walk goes there: to what is below a folder whose name is no text no path leads.
fn has_paths((name, found): &(&[u8], Found)) -> bool {
    !found.is_folder || std::str::from_utf8(name).is_ok()
}

/// Git orders entries by name, a folder as if its name ended in `/` (and a file as if in a zero byte).
fn order(name: &[u8], is_folder: bool, other: &[u8], other_is_folder: bool) -> Ordering {
    let shared = name.len().min(other.len());
    let end = |name: &[u8], is_folder| name.get(shared).copied().unwrap_or(if is_folder { b'/' } else { 0 });
    name[..shared].cmp(&other[..shared]).then_with(|| end(name, is_folder).cmp(&end(other, other_is_folder)))
}

/// Where an entry that is not there belongs.
fn place_for(raw: &[u8], name: &str, is_folder: bool) -> usize {
    entries(raw)
        .find(|(other, found)| order(other, found.is_folder, name.as_bytes(), is_folder).is_gt())
        .map_or(raw.len(), |(_, found)| found.start)
}

impl Default for Tree {
    fn default() -> Self {
        Self::new(Oid::of(Kind::Tree, b""), Vec::new())
    }
}

impl Tree {
    /// A folder as it was read.
    pub fn new(oid: Oid, raw: Vec<u8>) -> Self {
        Self { oid, raw, kids: Vec::new(), stored: None, touched: None, used_in_pack: 0 }
    }

    /// The folder's id, as of the last [`write()`].
    pub fn oid(&self) -> Oid {
        self.oid
    }

    /// Where the loaded folder of this name is among the kids, or belongs.
    fn place_of(&self, name: &str) -> Result<usize, usize> {
        self.kids.binary_search_by(|kid| kid.name.as_ref().cmp(name))
    }

    fn kid(&self, name: &str) -> Option<&Kid> {
        self.place_of(name).ok().map(|at| &self.kids[at])
    }

    fn load_kid(
        &mut self,
        at: usize,
        name: &str,
        oid: Oid,
        source: &dyn TreeSource,
        loaded: &mut usize,
    ) -> Result<(), LoadError> {
        let raw = source.tree(oid)?;
        *loaded += LOADED_OVERHEAD + raw.len();
        self.adopt(at, name, Self::new(oid, raw), false);
        Ok(())
    }

    fn adopt(&mut self, at: usize, name: &str, tree: Tree, changed: bool) {
        self.kids.insert(at, Kid { name: name.into(), changed, tree: Arc::new(tree) });
    }

    /// Replaces `raw[start..end]`, and remembers what is still as it was last written.
    fn splice(&mut self, start: usize, end: usize, new: &[u8]) {
        let suffix = self.raw.len() - end;
        let touched =
            self.touched.get_or_insert(Touched { base_bytes: self.raw.len(), prefix: start, suffix });
        touched.prefix = touched.prefix.min(start);
        touched.suffix = touched.suffix.min(suffix);
        if end - start == new.len() {
            self.raw[start..end].copy_from_slice(new);
        } else {
            self.raw.splice(start..end, new.iter().copied());
        }
    }

    fn set(&mut self, name: &str, is_folder: bool, oid: Oid) {
        if let Some(found) = find(&self.raw, name) {
            return self.splice(found.end - 20, found.end, &oid.0);
        }
        let at = place_for(&self.raw, name, is_folder);
        let mode = if is_folder { FOLDER_MODE } else { FILE_MODE };
        let entry = [mode, name.as_bytes(), b"\0", &oid.0].concat();
        self.splice(at, at, &entry);
    }

    fn unset(&mut self, name: &str) {
        if let Some(found) = find(&self.raw, name) {
            self.splice(found.start, found.end, b"");
        }
    }
}

/// What a loaded folder costs besides its bytes.
const LOADED_OVERHEAD: usize = size_of::<Tree>() + size_of::<Kid>() + 32;

/// Loads every folder on the way to `path`, so that an edit of it cannot fail half-way. Tells the file's id if it is
/// there, and adds the bytes of what was loaded to `loaded`.
pub fn load(
    tree: &mut Arc<Tree>,
    path: &str,
    source: &dyn TreeSource,
    pack_number: u64,
    loaded: &mut usize,
) -> Result<Option<Oid>, EditError> {
    let clash = || EditError::Clash(path.to_owned());
    let mut folder = Arc::make_mut(tree);
    let mut rest = path;
    loop {
        folder.used_in_pack = pack_number;
        let Some((name, below)) = rest.split_once('/') else {
            let found = find(&folder.raw, rest);
            return match found {
                Some(found) if found.is_folder => Err(clash()),
                found => Ok(found.map(|found| found.oid(&folder.raw))),
            };
        };
        let at = match folder.place_of(name) {
            Ok(at) => at,
            Err(at) => {
                let Some(found) = find(&folder.raw, name) else { return Ok(None) };
                if !found.is_folder {
                    return Err(clash());
                }
                let oid = found.oid(&folder.raw);
                folder.load_kid(at, name, oid, source, loaded)?;
                at
            }
        };
        folder = Arc::make_mut(&mut folder.kids[at].tree);
        rest = below;
    }
}

/// Puts a file. The way to it must have been loaded; folders that are missing are made.
pub fn put(tree: &mut Arc<Tree>, path: &str, blob: Oid) {
    let folder = Arc::make_mut(tree);
    match path.split_once('/') {
        None => folder.set(path, false, blob),
        Some((name, below)) => {
            let at = folder.place_of(name).unwrap_or_else(|at| {
                folder.adopt(at, name, Tree::default(), true);
                folder.set(name, true, Oid::ZERO);
                at
            });
            let kid = &mut folder.kids[at];
            kid.changed = true;
            put(&mut kid.tree, below, blob);
        }
    }
}

/// Removes a file if it is there, and the folders that this leaves empty.
pub fn remove(tree: &mut Arc<Tree>, path: &str) {
    let folder = Arc::make_mut(tree);
    let Some((name, below)) = path.split_once('/') else {
        return folder.unset(path);
    };
    let Ok(at) = folder.place_of(name) else { return };
    let kid = &mut folder.kids[at];
    kid.changed = true;
    remove(&mut kid.tree, below);
    if kid.tree.raw.is_empty() {
        folder.kids.remove(at);
        folder.unset(name);
    }
}

/// Hashes what changed and puts it in `draft`; tells the tree's new id.
pub fn write(tree: &mut Arc<Tree>, draft: &mut Draft, pack_number: u64) -> Oid {
    let folder = Arc::make_mut(tree);
    let mut kids = std::mem::take(&mut folder.kids);
    for kid in kids.iter_mut().filter(|kid| kid.changed) {
        kid.changed = false;
        let oid = write(&mut kid.tree, draft, pack_number);
        folder.set(&kid.name, true, oid);
    }
    folder.kids = kids;
    folder.oid = Oid::of(Kind::Tree, &folder.raw);
    let place = match delta_base(folder, pack_number) {
        Some(splice) => draft.put_spliced(folder.oid, &folder.raw, splice),
        None => draft.put(Kind::Tree, folder.oid, &folder.raw),
    };
    folder.stored = Some(Stored { pack_number, place });
    folder.touched = None;
    folder.oid
}

/// The version to write a delta on: in the same pack, not at the end of a long chain, and mostly the same bytes.
fn delta_base(folder: &Tree, pack_number: u64) -> Option<Splice> {
    let (stored, touched) = (folder.stored?, folder.touched?);
    let (prefix, suffix) = (touched.prefix, touched.suffix);
    let same = prefix + suffix;
    let worth_it = same * 2 > folder.raw.len() && same <= touched.base_bytes.min(folder.raw.len());
    (stored.pack_number == pack_number && stored.place.depth < DELTA_DEPTH_MAX && worth_it)
        .then_some(Splice { base: stored.place, base_bytes: touched.base_bytes, prefix, suffix })
}

/// Drops loaded folders that no pack since `pack_number` used; those written since are never dropped, because they
/// may not stand in the repository yet.
pub fn forget_unused(tree: &mut Arc<Tree>, pack_number: u64) {
    let folder = Arc::make_mut(tree);
    folder.kids.retain(|kid| {
        let written = kid.tree.stored.is_some_and(|stored| stored.pack_number >= pack_number);
        kid.changed || written || kid.tree.used_in_pack >= pack_number
    });
    folder.kids.iter_mut().for_each(|kid| forget_unused(&mut kid.tree, pack_number));
}

/// Finds the object at `path`, loading what is not in memory without keeping it.
pub fn lookup(tree: &Tree, path: &str, source: &dyn TreeSource) -> Result<Option<Entry>, LoadError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let entry =
        |tree: &Tree| Ok(find(&tree.raw, name).map(|found| entry_of(&tree.raw, name.as_bytes(), &found)));
    in_folder(tree, folder, source, entry).map(Option::flatten)
}

/// The entries of the folder at `path` (`""` is the root), in git's order; none if it is not there.
pub fn list(tree: &Tree, path: &str, source: &dyn TreeSource) -> Result<Vec<Entry>, LoadError> {
    let all =
        |tree: &Tree| Ok(entries(&tree.raw).map(|(name, found)| entry_of(&tree.raw, name, &found)).collect());
    in_folder(tree, path, source, all).map(Option::unwrap_or_default)
}

/// What a walk calls with each file: its full path and its id.
pub type Each<'a> = dyn FnMut(&str, Oid) -> Result<(), LoadError> + 'a;

/// Every file below the folder at `path`, in git's order. What is loaded for it is not kept.
pub fn walk(tree: &Tree, path: &str, source: &dyn TreeSource, each: &mut Each<'_>) -> Result<(), LoadError> {
    let below = |tree: &Tree| walk_below(tree, &mut path.to_owned(), source, each);
    in_folder(tree, path, source, below).map(drop)
}

/// `path` is the folder's, and is again at the end.
fn walk_below(
    tree: &Tree,
    path: &mut String,
    source: &dyn TreeSource,
    each: &mut Each<'_>,
) -> Result<(), LoadError> {
    for (name, found) in entries(&tree.raw).filter(has_paths) {
        let (name, oid, above) = (String::from_utf8_lossy(name), found.oid(&tree.raw), path.len());
        push_name(path, &name);
        match tree.kid(&name) {
            _ if !found.is_folder => each(path, oid)?,
            Some(kid) => walk_below(&kid.tree, path, source, each)?,
            None => walk_below(&Tree::new(oid, source.tree(oid)?), path, source, each)?,
        }
        path.truncate(above);
    }
    Ok(())
}

/// The file at `path`, or every file below that folder. The folders that it loads are kept, up to a bound on their bytes, so
/// that the first change in each of them need not wait for git.
pub fn load_below(
    tree: &mut Arc<Tree>,
    path: &str,
    source: &dyn TreeSource,
    loaded: &mut usize,
    each: &mut Each<'_>,
) -> Result<(), LoadError> {
    load_part(tree, &mut String::new(), path, source, loaded, each)
}

/// `path` is the folder's; `way` is what lies between it and where the walk begins.
fn load_part(
    tree: &mut Arc<Tree>,
    path: &mut String,
    way: &str,
    source: &dyn TreeSource,
    loaded: &mut usize,
    each: &mut Each<'_>,
) -> Result<(), LoadError> {
    let tree = Arc::make_mut(tree);
    let (next, way) = way.split_once('/').unwrap_or((way, ""));
    let is_wanted = |name: &[u8]| next.is_empty() || name == next.as_bytes();
    let found = entries(&tree.raw).filter(has_paths).filter(|(name, _)| is_wanted(name));
    let found: Vec<Entry> = found.map(|(name, found)| entry_of(&tree.raw, name, &found)).collect();
    for Entry { name, is_folder, oid } in found {
        let above = path.len();
        push_name(path, &name);
        match tree.place_of(&name) {
            _ if !is_folder => each(path, oid)?,
            Ok(at) => load_part(&mut tree.kids[at].tree, path, way, source, loaded, each)?,
            Err(_) if next.is_empty() && *loaded >= LOADED_BY_WALK_MAX => {
                walk_below(&Tree::new(oid, source.tree(oid)?), path, source, each)?;
            }
            Err(at) => {
                tree.load_kid(at, &name, oid, source, loaded)?;
                load_part(&mut tree.kids[at].tree, path, way, source, loaded, each)?;
            }
        }
        path.truncate(above);
    }
    Ok(())
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
}

/// Calls `then` with the folder at `path`, which is loaded if need be and not kept; `None` if there is no such folder.
fn in_folder<T, F>(tree: &Tree, path: &str, source: &dyn TreeSource, then: F) -> Result<Option<T>, LoadError>
where
    F: FnOnce(&Tree) -> Result<T, LoadError>,
{
    if path.is_empty() {
        return then(tree).map(Some);
    }
    let (name, below) = path.split_once('/').unwrap_or((path, ""));
    if let Some(kid) = tree.kid(name) {
        return in_folder(&kid.tree, below, source, then);
    }
    let Some(found) = find(&tree.raw, name).filter(|found| found.is_folder) else { return Ok(None) };
    let oid = found.oid(&tree.raw);
    in_folder(&Tree::new(oid, source.tree(oid)?), below, source, then)
}

fn entry_of(raw: &[u8], name: &[u8], found: &Found) -> Entry {
    Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        is_folder: found.is_folder,
        oid: found.oid(raw),
    }
}

#[cfg(test)]
mod tests;
