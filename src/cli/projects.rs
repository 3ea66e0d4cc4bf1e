//! `mrx projects`.

use reqwest::Method;
use serde_json::json;

use super::Context;
use super::args::{MemberWhat, Part, ProjectsWhat};
use super::error::CliResult;
use super::show::{Column, Kind, List};

const PROJECTS: List = List {
    field: "projects",
    columns: &[
        Column("PROJECT", "/projectId", Kind::Text),
        Column("STATE", "/state", Kind::Text),
        Column("BRANCH", "/defaultBranch", Kind::Text),
        Column("UPDATED", "/updatedAt", Kind::Time),
        Column("DESCRIPTION", "/description", Kind::Text),
    ],
};

const PROJECT: &[Column] = &[
    Column("PROJECT", "/projectId", Kind::Text),
    Column("TITLE", "/title", Kind::Text),
    Column("DESCRIPTION", "/description", Kind::Text),
    Column("REPO", "/repo", Kind::Text),
    Column("BRANCH", "/defaultBranch", Kind::Text),
    Column("STATE", "/state", Kind::Text),
    Column("ARCHIVED", "/archived", Kind::Text),
    Column("MEMBERS", "/members", Kind::Text),
    Column("TRASHED", "/trashedAt", Kind::Time),
    Column("CREATED", "/createdAt", Kind::Time),
    Column("UPDATED", "/updatedAt", Kind::Time),
];

const MEMBERS: &[Column] = &[Column("USER", "/user", Kind::Text), Column("RIGHT", "/right", Kind::Text)];

impl Default for ProjectsWhat {
    fn default() -> Self {
        Self::List { part: Part::default(), trashed: false }
    }
}

/// Does what was asked.
pub async fn run(context: &Context, what: ProjectsWhat) -> CliResult<()> {
    let (client, output) = (&context.client, context.output);
    match what {
        ProjectsWhat::List { part, trashed } => {
            let trashed = trashed.then_some(true);
            output
                .list(client, PROJECTS, part.all, || client.get("projects").query_if("trashed", trashed))
                .await
        }
        ProjectsWhat::Show { project } => {
            output.object(&client.send(client.get(&format!("projects/{project}"))).await?, PROJECT)
        }
        ProjectsWhat::Create { name, owner, public, description } => {
            let body =
                json!({ "name": name, "owner": owner, "private": !public, "description": description });
            let answer = client.send(client.post("projects").json(body)).await?;
            output.done(&answer, &format!("{name} is there"))
        }
        ProjectsWhat::Sync { project } => {
            let answer = client.send(client.post(&format!("projects/{project}/sync"))).await?;
            output.object(&answer, PROJECT)
        }
        ProjectsWhat::Members { project } => members(context, &format!("projects/{project}")).await,
        ProjectsWhat::Member(what) => member(context, what).await,
        ProjectsWhat::Delete { project } => {
            let answer = client.send(client.call(Method::DELETE, &format!("projects/{project}"))).await?;
            output.done(
                &answer,
                &format!("{project} is in the trash for 30 days; mrx projects restore brings it back"),
            )
        }
        ProjectsWhat::Restore { project } => {
            let answer = client.send(client.post(&format!("projects/{project}/restore"))).await?;
            output.done(&answer, &format!("{project} is back"))
        }
    }
}

/// The API has members in the project itself; in JSON the project is shown.
async fn members(context: &Context, path: &str) -> CliResult<()> {
    let answer = context.client.send(context.client.get(path)).await?;
    if context.output.is_json {
        return context.output.json(&answer.text());
    }
    let project = answer.json()?;
    let members = project["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    context.output.table(MEMBERS, members)
}

async fn member(context: &Context, what: MemberWhat) -> CliResult<()> {
    let client = &context.client;
    let (call, sentence) = match what {
        MemberWhat::Set { project, user, right } => (
            client
                .call(Method::PUT, &format!("projects/{project}/members/{user}"))
                .json(json!({ "right": right })),
            format!("{user} has the right to {right} in {project}"),
        ),
        MemberWhat::Rm { project, user } => (
            client.call(Method::DELETE, &format!("projects/{project}/members/{user}")),
            format!("{user} has no right in {project}"),
        ),
    };
    context.output.done(&client.send(call).await?, &sentence)
}
