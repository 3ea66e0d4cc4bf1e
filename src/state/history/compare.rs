//! Which files differ between two trees, found without a look into folders that are the same. libgit2's own comparison goes through all of
//! them: among a million open jobs that is 0.7 s a commit.

use std::cmp::Ordering;

use git2::{Error, ObjectType, Oid, Repository, Tree, TreeEntry};

/// No file of the state is deeper.
const DEPTH_MAX: usize = 100;

/// A file that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) path: String,
    /// What it was; `None` if it was not there.
    pub(super) old: Option<Oid>,
    /// What it is; `None` if it is gone.
    pub(super) new: Option<Oid>,
}

/// The files that differ, by path as git sorts them. Whatever is no folder counts as a file.
pub(super) fn files(
    repo: &Repository,
    old: Option<&Tree<'_>>,
    new: Option<&Tree<'_>>,
) -> Result<Vec<Delta>, Error> {
    let mut found = Vec::new();
    compare(&mut Comparison { repo, found: &mut found }, old, new, &mut Vec::new())?;
    Ok(found)
}

struct Comparison<'a> {
    repo: &'a Repository,
    found: &'a mut Vec<Delta>,
}

fn compare(
    to: &mut Comparison<'_>,
    old: Option<&Tree<'_>>,
    new: Option<&Tree<'_>>,
    folders: &mut Vec<String>,
) -> Result<(), Error> {
    if folders.len() > DEPTH_MAX {
        return Err(Error::from_str("a folder is too deep for any file of the state"));
    }
    let entries = |tree: Option<&Tree<'_>>| tree.map_or(0, Tree::len);
    let (mut at_old, mut at_new) = (0, 0);
    while at_old < entries(old) || at_new < entries(new) {
        let (before, after) = (old.and_then(|tree| tree.get(at_old)), new.and_then(|tree| tree.get(at_new)));
        let order = match (&before, &after) {
            (Some(before), Some(after)) => in_order(before, after),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        at_old += usize::from(order.is_le());
        at_new += usize::from(order.is_ge());
        let (before, after) = (before.filter(|_| order.is_le()), after.filter(|_| order.is_ge()));
        differ(to, before.as_ref(), after.as_ref(), folders)?;
    }
    Ok(())
}

/// Git sorts a folder as if its name ended with a slash, so a file and a folder of one name are two things.
fn in_order(one: &TreeEntry<'_>, other: &TreeEntry<'_>) -> Ordering {
    fn key<'a>(entry: &'a TreeEntry<'_>) -> impl Iterator<Item = u8> + 'a {
        entry.name_bytes().iter().copied().chain(is_folder(entry).then_some(b'/'))
    }
    key(one).cmp(key(other))
}

fn is_folder(entry: &TreeEntry<'_>) -> bool {
    entry.kind() == Some(ObjectType::Tree)
}

fn differ(
    to: &mut Comparison<'_>,
    before: Option<&TreeEntry<'_>>,
    after: Option<&TreeEntry<'_>>,
    folders: &mut Vec<String>,
) -> Result<(), Error> {
    let held = |entry: Option<&TreeEntry<'_>>| entry.map(|entry| (entry.id(), entry.filemode()));
    let Some(either) = before.or(after).filter(|_| held(before) != held(after)) else { return Ok(()) };
    let name = String::from_utf8_lossy(either.name_bytes()).into_owned();
    if !is_folder(either) {
        let path = folders.iter().chain([&name]).map(String::as_str).collect::<Vec<_>>().join("/");
        let id = |entry: Option<&TreeEntry<'_>>| entry.map(TreeEntry::id);
        to.found.push(Delta { path, old: id(before), new: id(after) });
        return Ok(());
    }
    let repo = to.repo;
    let tree = |entry: Option<&TreeEntry<'_>>| entry.map(|entry| repo.find_tree(entry.id())).transpose();
    let (old, new) = (tree(before)?, tree(after)?);
    folders.push(name);
    compare(to, old.as_ref(), new.as_ref(), folders)?;
    folders.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of these files, with this mode each; a name may have slashes.
    fn tree<'r>(repo: &'r Repository, files: &[(&str, &str, i32)]) -> Tree<'r> {
        let empty = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, text, mode) in files {
            let mode = if *mode == 0 { git2::FileMode::Blob } else { git2::FileMode::BlobExecutable };
            update.upsert(*path, repo.odb().unwrap().write(ObjectType::Blob, text.as_bytes()).unwrap(), mode);
        }
        repo.find_tree(update.create_updated(repo, &empty).unwrap()).unwrap()
    }

    /// As libgit2 compares.
    fn expected(repo: &Repository, old: Option<&Tree<'_>>, new: &Tree<'_>) -> Vec<Delta> {
        let diff = repo.diff_tree_to_tree(old, Some(new), None).unwrap();
        let id = |id: Oid| (!id.is_zero()).then_some(id);
        let delta = |delta: git2::DiffDelta<'_>| Delta {
            path: delta.new_file().path().or(delta.old_file().path()).unwrap().to_str().unwrap().to_owned(),
            old: id(delta.old_file().id()),
            new: id(delta.new_file().id()),
        };
        diff.deltas().map(delta).collect()
    }

    #[test]
    fn what_differs_is_what_libgit2_says() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(folder.path()).unwrap();
        let trees = [
            tree(&repo, &[]),
            tree(&repo, &[("a", "1", 0), ("a.b", "1", 0), ("c/d/e", "1", 0), ("c/f", "1", 0)]),
            tree(&repo, &[("a", "2", 0), ("a.b", "1", 0), ("c/d/e", "1", 0), ("c/f", "1", 1)]),
            tree(&repo, &[("a.b", "1", 0), ("a-b/x", "1", 0), ("c/d/g", "1", 0), ("c/d/e", "3", 0)]),
            tree(&repo, &[("c.d", "1", 0), ("z/y/x/w", "1", 0), ("z/y/v", "1", 0)]),
        ];
        for new in &trees {
            assert_eq!(files(&repo, None, Some(new)).unwrap(), expected(&repo, None, new));
            for old in &trees {
                assert_eq!(files(&repo, Some(old), Some(new)).unwrap(), expected(&repo, Some(old), new));
            }
        }
    }

    #[test]
    fn a_file_that_becomes_a_folder_is_gone_and_those_in_it_are_new() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(folder.path()).unwrap();
        let (old, new) = (tree(&repo, &[("a", "1", 0)]), tree(&repo, &[("a/b", "1", 0)]));
        let found = files(&repo, Some(&old), Some(&new)).unwrap();
        let told: Vec<_> =
            found.iter().map(|one| (one.path.as_str(), one.old.is_some(), one.new.is_some())).collect();
        assert_eq!(told, [("a", true, false), ("a/b", false, true)]);
    }

    #[test]
    fn a_folder_that_is_the_same_is_not_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(folder.path()).unwrap();
        let part = tree(&repo, &[("x", "1", 0)]);
        let with = |text: &str| {
            let mut builder = repo.treebuilder(None).unwrap();
            let blob = repo.odb().unwrap().write(ObjectType::Blob, text.as_bytes()).unwrap();
            builder.insert("file", blob, 0o100_644).unwrap();
            builder.insert("same", part.id(), 0o040_000).unwrap();
            repo.find_tree(builder.write().unwrap()).unwrap()
        };
        let (old, new) = (with("1"), with("2"));
        // Without its object, whoever reads it fails.
        let hex = part.id().to_string();
        std::fs::remove_file(folder.path().join("objects").join(&hex[..2]).join(&hex[2..])).unwrap();
        let repo = Repository::open_bare(folder.path()).unwrap();
        let found = files(&repo, Some(&old), Some(&new)).unwrap();
        assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["file"]);
    }
}
