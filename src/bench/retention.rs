//! What the hourly look for artifacts costs that are kept no longer, over many projects with rules and nothing to let go.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::report::Report;
use super::seed;
use crate::app::{App, AppOptions};
use crate::artifact::types::Artifact;
use crate::forge::{Code, ForgeKind};
use crate::id::{IdMaker, ProjectId};
use crate::project::edit::ProjectEdit;
use crate::state::edit::{Actor, Edit};
use crate::state::layout::{self, DataFolder};

/// Rounds that are measured: the first is that after a start.
const ROUNDS: usize = 10;
/// Entries of each project.
const ARTIFACTS: usize = 5;

/// Makes so many projects, starts again, and looks at them as the daemon does each hour.
pub async fn rounds(folder: &Path, projects: usize) -> anyhow::Result<Report> {
    let options = || AppOptions::new(DataFolder::new(folder));
    let (app, _) = App::open(options()).await?;
    fill(&app, projects).await?;
    seed::close(app).await?;
    let (app, _) = App::open(options()).await?;
    app.read_open_jobs().await;
    let (begun, mut each) = (Instant::now(), Vec::new());
    for _ in 0..ROUNDS {
        let round = Instant::now();
        let found = app.artifacts.expire(app.projects.registry()).await;
        anyhow::ensure!(found.entries == 0, "{} entries were let go", found.entries);
        each.push(round.elapsed());
    }
    let report = Report::of("retention", 1, projects, begun.elapsed(), each);
    seed::close(app).await?;
    Ok(report)
}

async fn fill(app: &App, projects: usize) -> anyhow::Result<()> {
    let name = |number: usize| {
        // The first is the one that every benchmark waits for at its end.
        let name = if number == 0 { seed::PROJECT.to_owned() } else { format!("{}-{number}", seed::PROJECT) };
        name.parse::<ProjectId>().context("name a project")
    };
    let names = (0..projects.max(1)).map(name).collect::<anyhow::Result<Vec<_>>>()?;
    let codes: Vec<Code> =
        names.iter().map(|name| Code::in_folder(name.clone(), "/nowhere", "main")).collect();
    app.projects.sync(ForgeKind::Local, &codes, &BTreeSet::new()).await?;
    let (ids, now) = (IdMaker::new(), app.clock.now());
    let rules: ProjectEdit = serde_json::from_str(r#"{"retention": {"keepBuilds": 10, "keepDays": 30}}"#)?;
    for project in &names {
        app.projects.edit(project, &rules, None, Actor::daemon()).await?;
        let entry = |number: usize| {
            let artifact = Artifact {
                artifact_id: ids.artifact(project, now),
                name: "app.tar.gz".to_owned(),
                drive_path: None,
                sha256: format!("{number:064x}"),
                size: Some(1000),
                build_number: Some(number.to_string()),
                job_id: None,
                uploaded_at: now,
            };
            Edit::put(layout::artifact(&artifact.artifact_id), Arc::new(artifact))
        };
        seed::seed(app, project, (0..ARTIFACTS).map(entry).collect()).await?;
    }
    Ok(())
}
