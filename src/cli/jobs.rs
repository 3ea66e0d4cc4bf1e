//! `mrx jobs`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::{CreateJob, JobsWhat};
use super::client::fresh_key;
use super::error::{CliError, CliResult};
use super::show::{Column, Kind, List};
use super::{Context, log};
use crate::id::JobId;

const JOBS: List = List {
    field: "jobs",
    columns: &[
        Column("JOB", "/jobId", Kind::Text),
        Column("TYPE", "/type", Kind::Text),
        Column("STATE", "/state", Kind::Text),
        Column("AGENT", "/claimedBy", Kind::Text),
        Column("UPDATED", "/updatedAt", Kind::Time),
        Column("PROGRESS", "/progress", Kind::Text),
    ],
};

const JOB: &[Column] = &[
    Column("JOB", "/jobId", Kind::Text),
    Column("PROJECT", "/projectId", Kind::Text),
    Column("TYPE", "/type", Kind::Text),
    Column("STATE", "/state", Kind::Text),
    Column("PRIORITY", "/priority", Kind::Text),
    Column("LABELS", "/labels", Kind::Text),
    Column("PAYLOAD", "/payload", Kind::Text),
    Column("ATTEMPT", "/attempt", Kind::Text),
    Column("AGENT", "/claimedBy", Kind::Text),
    Column("PROGRESS", "/progress", Kind::Text),
    Column("RESULT", "/result", Kind::Text),
    Column("FAILURE", "/failure/message", Kind::Text),
    Column("CODE", "/failure/code", Kind::Text),
    Column("CREATED", "/createdAt", Kind::Time),
    Column("CLAIMED", "/claimedAt", Kind::Time),
    Column("STARTED", "/startedAt", Kind::Time),
    Column("ENDED", "/endedAt", Kind::Time),
];

/// More than the API takes in a body.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

/// Does what was asked.
pub async fn run(context: &Context, what: JobsWhat) -> CliResult<()> {
    let (client, output) = (&context.client, context.output);
    match what {
        JobsWhat::Create(args) => create(context, args).await,
        JobsWhat::List { project, state, kind, label, agent, part } => {
            let call = || {
                let call = client.get(&format!("projects/{project}/jobs")).query_if("state", state.as_ref());
                let call = call.query_if("type", kind.as_ref());
                call.query_if("label", label.as_ref()).query_if("agent", agent.as_ref())
            };
            output.list(client, JOBS, part.all, call).await
        }
        JobsWhat::Show { job } => output.object(&client.send(client.get(&format!("jobs/{job}"))).await?, JOB),
        JobsWhat::Logs { job, follow: false, attempt } => log::print(context, &job, attempt).await,
        JobsWhat::Logs { job, follow: true, attempt } => log::follow(context, &job, attempt).await,
        JobsWhat::Cancel { job } => {
            let answer = client.send(client.post(&format!("jobs/{job}/cancel"))).await?;
            let asked = answer.json()?["cancelRequested"] == true;
            let sentence = if asked { "is asked to stop" } else { "is cancelled" };
            output.done(&answer, &format!("{job} {sentence}"))
        }
        JobsWhat::Retry { job } => {
            let answer = client.send(client.post(&format!("jobs/{job}/retry"))).await?;
            output.done(&answer, &format!("{job} waits for an agent, attempt {}", answer.json()?["attempt"]))
        }
    }
}

async fn create(context: &Context, args: CreateJob) -> CliResult<()> {
    let mut body = json!({
        "projectId": args.project,
        "jobType": args.kind,
        "payload": payload(args.payload.as_deref(), args.reference)?,
        "labels": args.label,
    });
    if let Some(priority) = args.priority {
        body["priority"] = priority.into();
    }
    if let Some(seconds) = args.timeout_seconds {
        body["timeoutSeconds"] = seconds.into();
    }
    // With a key of its own the call may be sent again where an answer was lost, and makes one job.
    let key = args.idempotency_key.map_or_else(fresh_key, |key| key.as_str().to_owned());
    let answer = context.client.send(context.client.post("jobs/create").json(body).once(&key)).await?;
    let id = answer.json()?["jobId"].as_str().unwrap_or_default().to_owned();
    let job: JobId = id.parse().map_err(|error| CliError::local("understand the server's answer", error))?;
    if !args.follow {
        return context.output.done(&answer, job.as_str());
    }
    if context.output.is_json {
        context.output.json(&answer.text())?;
    } else {
        eprintln!("{job}");
    }
    log::follow(context, &job, None).await
}

/// What is typed or stands in a file, and the ref beside it.
fn payload(text: Option<&str>, reference: Option<String>) -> CliResult<Value> {
    let text = match text.map(|text| (text, text.strip_prefix('@'))) {
        None => None,
        Some((_, Some(file))) => Some(read(Path::new(file))?),
        Some((text, None)) => Some(text.to_owned()),
    };
    let mut payload: Map<String, Value> = match &text {
        None => Map::new(),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| CliError::Usage(format!("the payload is no JSON object: {error}")))?,
    };
    if let Some(reference) = reference {
        payload.insert("ref".to_owned(), reference.into());
    }
    Ok(Value::Object(payload))
}

fn read(file: &Path) -> CliResult<String> {
    let failed = |error: std::io::Error| CliError::local(format!("read {}", file.display()), error);
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    std::io::Read::read_to_string(&mut std::io::Read::take(opened, PAYLOAD_BYTES_MAX), &mut text)
        .map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_a_part_of_the_payload() {
        let shown = |text, reference: Option<&str>| payload(text, reference.map(str::to_owned)).unwrap();
        assert_eq!(shown(None, None), json!({}));
        assert_eq!(
            shown(Some(r#"{"buildNumber": "7"}"#), Some("dev")),
            json!({"buildNumber": "7", "ref": "dev"})
        );
    }

    #[test]
    fn a_payload_that_is_no_object_is_a_mistake_in_the_command() {
        for bad in ["[]", "7", "{", "hello"] {
            assert_eq!(payload(Some(bad), None).unwrap_err().exit_code(), 2, "{bad}");
        }
        assert_eq!(payload(Some("@/nowhere/at/all"), None).unwrap_err().exit_code(), 1);
    }
}
