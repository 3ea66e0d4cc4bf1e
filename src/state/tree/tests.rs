//! Trees as git makes them of the same edits, what readers keep, and what is loaded when.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

struct Nothing;
impl TreeSource for Nothing {
    fn tree(&self, oid: Oid) -> Result<Vec<u8>, LoadError> {
        Err(LoadError { what: oid.to_string(), repo: "nowhere".to_owned(), cause: "it is a test".to_owned() })
    }
}

struct Git(git2::Repository);
impl TreeSource for Git {
    fn tree(&self, oid: Oid) -> Result<Vec<u8>, LoadError> {
        let odb = self.0.odb().unwrap();
        Ok(odb.read(oid.to_git()).unwrap().data().to_vec())
    }
}

fn blob(number: u32) -> Oid {
    Oid::of(Kind::Blob, &number.to_le_bytes())
}

/// The tree that libgit2 makes of the same files.
fn git_tree(repo: &git2::Repository, files: &BTreeMap<String, Oid>) -> Oid {
    let mut builder = git2::build::TreeUpdateBuilder::new();
    for (path, oid) in files {
        builder.upsert(path, oid.to_git(), git2::FileMode::Blob);
    }
    let empty = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
    builder.create_updated(repo, &empty).unwrap().into()
}

fn publish(folder: &std::path::Path, draft: Draft) {
    let pack = draft.finish();
    let base = folder.join(format!("objects/pack/pack-{}", pack.name));
    std::fs::write(base.with_extension("pack"), &pack.pack).unwrap();
    std::fs::write(base.with_extension("idx"), &pack.index).unwrap();
}

fn steps() -> impl Strategy<Value = Vec<(bool, String, u32)>> {
    let name = "[ab]{1,2}(-[0-9])?";
    let path = prop::collection::vec(name, 1..4).prop_map(|parts| {
        format!("{}.yaml", parts.iter().map(|p| format!("{p}/")).collect::<String>() + "f")
    });
    prop::collection::vec((prop::bool::weighted(0.7), path, any::<u32>()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_edits_give_the_tree_that_git_gives_and_read_back_after_forgetting(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let repo = git2::Repository::init_bare(folder.path()).unwrap();
        git2::opts::strict_object_creation(false);
        let source = Git(git2::Repository::open_bare(folder.path()).unwrap());
        let (mut tree, mut files) = (Arc::new(Tree::default()), BTreeMap::new());
        let (mut draft, mut pack_number) = (Draft::default(), 1);
        for (number, (putting, path, content)) in steps.into_iter().enumerate() {
            load(&mut tree, &path, &source, pack_number, &mut 0).unwrap();
            if putting {
                put(&mut tree, &path, blob(content));
                files.insert(path, blob(content));
            } else {
                remove(&mut tree, &path);
                files.remove(&path);
            }
            let written = write(&mut tree, &mut draft, pack_number);
            prop_assert_eq!(written, git_tree(&repo, &files));
            if number % 7 == 6 {
                publish(folder.path(), std::mem::take(&mut draft));
                pack_number += 1;
                forget_unused(&mut tree, pack_number);
                let mut seen = BTreeMap::new();
                walk(&tree, "", &source, &mut |path, oid| { seen.insert(path.to_owned(), oid); Ok(()) }).unwrap();
                prop_assert_eq!(&seen, &files);
            }
        }
    }
}

#[test]
fn a_reader_keeps_what_it_saw_while_a_writer_goes_on() {
    let mut tree = Arc::new(Tree::default());
    put(&mut tree, "jobs/open/a.yaml", blob(1));
    let seen = tree.clone();
    put(&mut tree, "jobs/open/a.yaml", blob(2));
    assert_eq!(lookup(&seen, "jobs/open/a.yaml", &Nothing).unwrap().unwrap().oid, blob(1));
    assert_eq!(lookup(&tree, "jobs/open/a.yaml", &Nothing).unwrap().unwrap().oid, blob(2));
}

#[test]
fn what_is_read_at_the_start_is_there_for_the_first_change() {
    let folder = tempfile::tempdir().unwrap();
    let source = Git(git2::Repository::init_bare(folder.path()).unwrap());
    let paths = ["jobs/done/d.yaml", "jobs/open/a/1.yaml", "jobs/open/b/2.yaml", "project.yaml"];
    let (mut written, mut draft) = (Arc::new(Tree::default()), Draft::default());
    (0..).zip(paths).for_each(|(number, path)| put(&mut written, path, blob(number)));
    let root = write(&mut written, &mut draft, 1);
    publish(folder.path(), draft);

    let mut tree = Arc::new(Tree::new(root, source.tree(root).unwrap()));
    let (mut loaded, mut seen) = (0, Vec::new());
    for begin in ["jobs/open", "project.yaml", "not/there"] {
        let mut each = |path: &str, oid| {
            seen.push((path.to_owned(), oid));
            Ok(())
        };
        load_below(&mut tree, begin, &source, &mut loaded, &mut each).unwrap();
    }
    let expected = [1, 2, 3].map(|number| (paths[number as usize].to_owned(), blob(number)));
    assert_eq!(seen, expected);
    assert!(loaded > 0, "what is kept is counted");
    let mut load = |path| load(&mut tree, path, &Nothing, 1, &mut 0);
    assert_eq!(load("jobs/open/b/2.yaml"), Ok(Some(blob(2))), "nothing is read for it");
    assert!(load("jobs/done/d.yaml").is_err(), "nobody asked for that folder");
}

#[test]
fn a_walk_keeps_no_more_folders_than_there_is_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = Git(git2::Repository::init_bare(folder.path()).unwrap());
    let (mut written, mut draft) = (Arc::new(Tree::default()), Draft::default());
    put(&mut written, "jobs/open/a/1.yaml", blob(1));
    let root = write(&mut written, &mut draft, 1);
    publish(folder.path(), draft);
    let (mut tree, mut seen) = (Arc::new(Tree::new(root, source.tree(root).unwrap())), Vec::new());
    let mut each = |path: &str, _| {
        seen.push(path.to_owned());
        Ok(())
    };
    let mut loaded = LOADED_BY_WALK_MAX;
    load_below(&mut tree, "jobs/open", &source, &mut loaded, &mut each).unwrap();
    assert_eq!(seen, ["jobs/open/a/1.yaml"]);
    assert!(
        load(&mut tree, "jobs/open/a/1.yaml", &Nothing, 1, &mut 0).is_err(),
        "it is read again when needed"
    );
}

/// Loose in a repository, so that nobody checks it.
fn loose_tree(repo: &git2::Repository, entries: &[(&[u8], &[u8], Oid)]) -> Oid {
    let entry = |(mode, name, oid): &(&[u8], &[u8], Oid)| [mode, *name, b"\0", &oid.0].concat();
    let raw: Vec<u8> = entries.iter().flat_map(entry).collect();
    repo.odb().unwrap().write(git2::ObjectType::Tree, &raw).unwrap().into()
}

#[test]
fn a_folder_whose_name_is_no_text_is_passed_over_as_no_path_leads_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = Git(git2::Repository::init_bare(folder.path()).unwrap());
    git2::opts::strict_object_creation(false);
    let of = |number| loose_tree(&source.0, &[(FILE_MODE, b"f.yaml", blob(number))]);
    let open = [("a".as_bytes(), 1), (b"\xfe", 2), (b"\xff", 3)].map(|(name, n)| (FOLDER_MODE, name, of(n)));
    let root = loose_tree(&source.0, &[(FOLDER_MODE, b"open", loose_tree(&source.0, &open))]);
    let mut tree = Arc::new(Tree::new(root, source.tree(root).unwrap()));
    let (mut walked, mut loaded) = (Vec::new(), Vec::new());
    walk(&tree, "open", &source, &mut |path, oid| {
        walked.push((path.to_owned(), oid));
        Ok(())
    })
    .unwrap();
    let mut each = |path: &str, oid| {
        loaded.push((path.to_owned(), oid));
        Ok(())
    };
    load_below(&mut tree, "open", &source, &mut 0, &mut each).unwrap();
    assert_eq!(walked, [("open/a/f.yaml".to_owned(), blob(1))]);
    assert_eq!(loaded, walked);
}

#[test]
fn a_path_through_a_file_is_refused_before_anything_changes() {
    let mut tree = Arc::new(Tree::default());
    put(&mut tree, "a", blob(1));
    assert_eq!(load(&mut tree, "a/b", &Nothing, 1, &mut 0), Err(EditError::Clash("a/b".to_owned())));
    put(&mut tree, "folder/file", blob(1));
    assert_eq!(load(&mut tree, "folder", &Nothing, 1, &mut 0), Err(EditError::Clash("folder".to_owned())));
}
