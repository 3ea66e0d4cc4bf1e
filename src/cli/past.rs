//! `mrx history`, `mrx diff`, `mrx revert` and `mrx fork`.

use serde_json::{Value, json};

use super::Context;
use super::args::{DiffArgs, ForkArgs, HistoryArgs, RevertArgs};
use super::error::CliResult;
use super::show::{Column, Kind, List, plain};

const COMMITS: List = List {
    field: "commits",
    columns: &[
        Column("COMMIT", "/commit", Kind::Text),
        Column("TIME", "/time", Kind::Time),
        Column("BY", "/actor", Kind::Text),
        Column("WHAT", "/subject", Kind::Text),
    ],
};

const FIELDS: &[Column] = &[
    Column("CHANGE", "/change", Kind::Text),
    Column("KIND", "/kind", Kind::Text),
    Column("WHICH", "/id", Kind::Text),
    Column("FIELD", "/field", Kind::Text),
    Column("FROM", "/from", Kind::Text),
    Column("TO", "/to", Kind::Text),
];

/// What happened, newest first.
pub async fn history(context: &Context, args: HistoryArgs) -> CliResult<()> {
    let (client, path) = (&context.client, format!("projects/{}/history", args.project));
    let call = || client.get(&path).query_if("about", args.about.as_ref());
    context.output.list(client, COMMITS, args.part.all, call).await
}

/// What differs between two moments, or what one commit changed.
pub async fn diff(context: &Context, args: DiffArgs) -> CliResult<()> {
    let (client, project) = (&context.client, &args.project);
    let call = match args.commit {
        Some(commit) => client.get(&format!("projects/{project}/commits/{commit}")),
        None => client
            .get(&format!("projects/{project}/diff"))
            .query_if("from", args.from)
            .query_if("to", args.to),
    };
    let answer = client.send(call).await?;
    if context.output.is_json {
        return context.output.json(&answer.text());
    }
    fields(context, &answer.json()?)
}

/// Puts one thing back, or shows what that would change.
pub async fn revert(context: &Context, args: RevertArgs) -> CliResult<()> {
    let by = if is_path(&args.what) { "path" } else { "id" };
    let body = json!({ by: args.what, "to": args.to });
    let client = &context.client;
    let call = client.post(&format!("projects/{}/revert", args.project)).json(body);
    let answer = client.send(call.query_if("dryRun", args.dry_run.then_some(true))).await?;
    if args.dry_run && !context.output.is_json {
        return fields(context, &answer.json()?);
    }
    let to = answer.json()?["to"].as_str().unwrap_or_default().to_owned();
    context.output.done(&answer, &format!("{} is as it was at {to}", plain(&args.what.into())))
}

/// Makes a second project of a project's state.
pub async fn fork(context: &Context, args: ForkArgs) -> CliResult<()> {
    let client = &context.client;
    let body = json!({ "id": args.name, "at": args.at, "run": args.run });
    let call = client.post(&format!("projects/{}/forks", args.project)).json(body);
    let answer = client.send(call).await?;
    let name = plain(&answer.json()?["projectId"]);
    context.output.done(&answer, &format!("{name} is there, a fork of {}", args.project))
}

/// A row for each field that differs, or for each thing that has none.
fn fields(context: &Context, answer: &Value) -> CliResult<()> {
    let things = answer["entities"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Value> = things.iter().flat_map(rows_of).collect();
    context.output.table(FIELDS, &rows)?;
    if answer["isCut"] == true {
        eprintln!("there is more than the server shows at once");
    }
    Ok(())
}

fn rows_of(thing: &Value) -> Vec<Value> {
    let row = |field: &Value| {
        json!({ "change": thing["change"], "kind": thing["kind"], "id": thing["id"],
            "field": field["field"], "from": field["from"], "to": field["to"] })
    };
    match thing["fields"].as_array().map(Vec::as_slice) {
        None | Some([]) => vec![row(&Value::Null)],
        Some(fields) => fields.iter().map(row).collect(),
    }
}

/// Ids have no dot and no slash; every path has one.
fn is_path(what: &str) -> bool {
    what.contains(['/', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_an_id() {
        for path in ["schedules/nightly.yaml", "project.yaml", "jobs/open/x"] {
            assert!(is_path(path), "{path}");
        }
        for id in ["job-01jd0000000000000000000000", "prompt"] {
            assert!(!is_path(id), "{id}");
        }
    }

    #[test]
    fn a_thing_without_fields_has_a_row_too() {
        let thing = json!({ "change": "removed", "kind": "schedule", "id": "nightly", "fields": [] });
        assert_eq!(rows_of(&thing).len(), 1);
        let field = |name: &str| json!({ "field": name, "from": 1, "to": null });
        let changed =
            json!({ "change": "changed", "kind": "job", "id": "j", "fields": [field("a"), field("b")] });
        let rows = rows_of(&changed);
        assert_eq!((rows.len(), &rows[1]["field"], &rows[1]["kind"]), (2, &json!("b"), &json!("job")));
    }
}
