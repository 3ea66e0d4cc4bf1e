//! The demo's two projects, as bare repositories of code with one commit each.

use std::path::Path;

use anyhow::Context;

/// A project of the demo: its name and files.
pub struct Sample {
    /// The project's name.
    pub name: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// One in C, one in shell.
pub const SAMPLES: [Sample; 2] = [
    Sample {
        name: "mrx-hello",
        files: &[
            ("Makefile", include_str!("hello-c/Makefile")),
            ("hello.c", include_str!("hello-c/hello.c")),
            ("mrx.yaml", include_str!("hello-c/mrx.yaml")),
        ],
    },
    Sample {
        name: "mrx-words",
        files: &[
            ("mrx.yaml", include_str!("words/mrx.yaml")),
            ("poem.txt", include_str!("words/poem.txt")),
            ("words.sh", include_str!("words/words.sh")),
        ],
    },
];

/// Makes the repositories in the forge's folder, unless they are there.
pub fn create(forge: &Path) -> anyhow::Result<()> {
    for sample in &SAMPLES {
        let path = forge.join(format!("{}.git", sample.name));
        if !path.exists() {
            create_one(&path, sample).with_context(|| format!("make {}", path.display()))?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "these are repositories of code, which MrX only reads")]
fn create_one(path: &Path, sample: &Sample) -> Result<(), git2::Error> {
    let mut options = git2::RepositoryInitOptions::new();
    let repo = git2::Repository::init_opts(path, options.bare(true).initial_head("main"))?;
    let mut root = repo.treebuilder(None)?;
    for (name, text) in sample.files {
        root.insert(name, repo.blob(text.as_bytes())?, 0o100_644)?;
    }
    let tree = repo.find_tree(root.write()?)?;
    let author = git2::Signature::now("MrX demo", "demo@mrx.invalid")?;
    repo.commit(Some("refs/heads/main"), &author, &author, "Begin", &tree, &[])?;
    Ok(())
}
