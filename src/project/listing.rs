//! What a forge's listing makes of the projects: which repository is which project, and what has changed. Knows no disk.
//!
//! A repository is known by the forge's number of it, and by its name only where the forge has no numbers. So a renamed one
//! stays its project, and a new one under an old name is a new project.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::types::{ForgeEntry, Project, ProjectState, Removed};
use crate::clock::Time;
use crate::forge::{Code, ForgeKind};
use crate::id::ProjectId;

/// A project's entry as it must be from now on, and what to call that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The entry.
    pub project: Project,
    /// For the commit's subject: `renamed to github.com/acme/mrx-wind`.
    pub what: String,
    /// The event.
    pub event: &'static str,
}

/// Which project each repository is or becomes. Removed ones are left out.
pub fn assign<'a>(
    kind: ForgeKind,
    known: &[Arc<Project>],
    removed: &[Arc<Removed>],
    found: &'a [Code],
) -> Vec<(ProjectId, &'a Code)> {
    let by_number: HashMap<u64, &ProjectId> = known
        .iter()
        .filter(|project| project.forge.kind == kind)
        .filter_map(|project| Some((project.forge.repository_id?, &project.project_id)))
        .collect();
    let mut taken: HashSet<&ProjectId> = known.iter().map(|project| &project.project_id).collect();
    let mut assigned = Vec::new();
    for code in found.iter().filter(|code| !removed.iter().any(|removed| is_of(removed, code))) {
        let id = match code.repository_id {
            None => Some(code.name.clone()),
            Some(number) => match by_number.get(&number) {
                Some(id) => Some((*id).clone()),
                None if !taken.contains(&code.name) => Some(code.name.clone()),
                // Another project has the name: a repository of another owner, or one that was renamed or deleted.
                None => format!("{}-{number}", code.name).parse().ok(),
            },
        };
        let Some(id) = id else {
            tracing::warn!(
                repo = code.url,
                "the name is another project's, and is too long to be numbered: passed over"
            );
            continue;
        };
        if id == code.name {
            taken.insert(&code.name);
        }
        assigned.push((id, code));
    }
    assigned
}

/// Whether this is the repository of a removed project.
pub fn is_of(removed: &Removed, code: &Code) -> bool {
    removed.repository_id == code.repository_id && (code.repository_id.is_some() || removed.repo == code.url)
}

/// What a repository makes of its project's entry; `None` if nothing.
pub fn take_in(
    kind: ForgeKind,
    id: &ProjectId,
    code: &Code,
    known: Option<&Project>,
    now: Time,
) -> Option<Step> {
    let forge = ForgeEntry {
        kind,
        repository_id: code.repository_id,
        default_branch: Some(code.default_branch.clone()),
        description: code.description.clone(),
    };
    let Some(known) = known else {
        let project = Project {
            project_id: id.clone(),
            title: None,
            description: code.description.clone(),
            repo: code.url.clone(),
            default_branch: code.default_branch.clone(),
            retention: None,
            remote: None,
            forge,
            state: ProjectState::Active,
            missing_since: None,
            archived: code.archived,
            concurrency: None,
            fork_of: None,
            trashed_at: None,
            members: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        return Some(Step { project, what: "found".to_owned(), event: "project.found" });
    };
    // A field that says what the forge said follows the forge; one that a person has changed stays.
    let branch_follows = known.forge.default_branch.as_ref().is_none_or(|was| *was == known.default_branch);
    let text_follows = known.forge.description == known.description;
    let next = Project {
        repo: code.url.clone(),
        default_branch: if branch_follows { &code.default_branch } else { &known.default_branch }.clone(),
        description: if text_follows { &code.description } else { &known.description }.clone(),
        forge,
        state: ProjectState::Active,
        missing_since: None,
        archived: code.archived,
        ..known.clone()
    };
    if next == *known {
        return None;
    }
    let (what, event) = match () {
        () if known.state == ProjectState::Missing => ("on the forge again".to_owned(), "project.back"),
        () if known.repo != next.repo => (format!("renamed to {}", next.repo), "project.renamed"),
        () if next.archived && !known.archived => ("archived".to_owned(), "project.archived"),
        () if known.archived && !next.archived => ("no longer archived".to_owned(), "project.unarchived"),
        () => ("changed".to_owned(), "project.changed"),
    };
    Some(Step { project: Project { updated_at: now, ..next }, what, event })
}

/// What it makes of a project's entry that the forge has no repository for any more.
pub fn miss(known: &Project, now: Time) -> Option<Step> {
    (known.state == ProjectState::Active).then(|| Step {
        project: Project {
            state: ProjectState::Missing,
            missing_since: Some(now),
            updated_at: now,
            ..known.clone()
        },
        what: "no longer on the forge".to_owned(),
        event: "project.missing",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: ForgeKind = ForgeKind::GitHub;

    fn code(name: &str, number: u64) -> Code {
        Code {
            name: name.parse().unwrap(),
            repository_id: Some(number),
            url: format!("github.com/acme/{name}"),
            default_branch: "main".to_owned(),
            description: Some("weather".to_owned()),
            archived: false,
        }
    }

    fn project(code: &Code) -> Project {
        take_in(KIND, &code.name, code, None, Time::from_millis(0)).unwrap().project
    }

    fn ids(known: &[Project], found: &[Code]) -> Vec<String> {
        let known: Vec<_> = known.iter().cloned().map(Arc::new).collect();
        assign(KIND, &known, &[], found).iter().map(|(id, _)| id.to_string()).collect()
    }

    #[test]
    fn a_renamed_repository_stays_its_project() {
        let known = project(&code("mrx-a", 1));
        let renamed = code("mrx-b", 1);
        assert_eq!(ids(std::slice::from_ref(&known), std::slice::from_ref(&renamed)), ["mrx-a"]);
        let step = take_in(KIND, &known.project_id, &renamed, Some(&known), Time::from_millis(5)).unwrap();
        assert_eq!((step.what.as_str(), step.event), ("renamed to github.com/acme/mrx-b", "project.renamed"));
        assert_eq!(step.project.project_id.as_str(), "mrx-a");
        assert_eq!(
            take_in(KIND, &known.project_id, &renamed, Some(&step.project), Time::from_millis(9)),
            None
        );
    }

    #[test]
    fn a_new_repository_under_a_known_name_is_another_project() {
        let known = project(&code("mrx-a", 1));
        assert_eq!(ids(&[known], &[code("mrx-b", 1), code("mrx-a", 2)]), ["mrx-a", "mrx-a-2"]);
        assert_eq!(ids(&[], &[code("mrx-a", 1), code("mrx-a", 2)]), ["mrx-a", "mrx-a-2"], "of two owners");
    }

    #[test]
    fn a_removed_projects_repository_does_not_come_back_by_itself() {
        let (one, two) = (code("mrx-a", 1), code("mrx-a", 2));
        let removed = Removed {
            project_id: one.name.clone(),
            repo: one.url.clone(),
            repository_id: Some(1),
            removed_at: Time::from_millis(0),
        };
        let found = [one, two];
        let assigned = assign(KIND, &[], &[Arc::new(removed)], &found);
        assert_eq!(assigned.len(), 1);
        assert_eq!(assigned[0].1.repository_id, Some(2));
    }

    #[test]
    fn what_a_person_has_changed_stays_and_the_rest_follows_the_forge() {
        let mut known = project(&code("mrx-a", 1));
        known.default_branch = "develop".to_owned();
        let mut next = code("mrx-a", 1);
        next.default_branch = "trunk".to_owned();
        next.description = Some("wind".to_owned());
        let step = take_in(KIND, &next.name, &next, Some(&known), Time::from_millis(5)).unwrap().project;
        assert_eq!((step.default_branch.as_str(), step.description.as_deref()), ("develop", Some("wind")));
    }

    #[test]
    fn archiving_and_its_end_are_told_and_a_missing_one_is_missed_once() {
        let known = project(&code("mrx-a", 1));
        let archived = Code { archived: true, ..code("mrx-a", 1) };
        let step = take_in(KIND, &archived.name, &archived, Some(&known), Time::from_millis(5)).unwrap();
        assert_eq!((step.event, step.project.archived), ("project.archived", true));
        let gone = miss(&step.project, Time::from_millis(7)).unwrap().project;
        assert_eq!((gone.state, gone.missing_since), (ProjectState::Missing, Some(Time::from_millis(7))));
        assert_eq!(miss(&gone, Time::from_millis(9)), None);
        let back =
            take_in(KIND, &archived.name, &code("mrx-a", 1), Some(&gone), Time::from_millis(11)).unwrap();
        assert_eq!((back.event, back.project.missing_since), ("project.back", None));
    }
}
