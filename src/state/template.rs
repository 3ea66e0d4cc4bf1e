//! What every state branch begins with: the files of `state-template/`, built into the program.

use super::edit::Edit;

/// The platform's own README.
pub const PLATFORM_README: &str = include_str!("../../state-template/PLATFORM.md");

/// The files of a new project's state branch.
pub const FILES: &[(&str, &str)] = &[
    ("README.md", include_str!("../../state-template/README.md")),
    (".mrx/version", include_str!("../../state-template/.mrx/version")),
    (".mrx/schema/agent.json", include_str!("../../state-template/.mrx/schema/agent.json")),
    (".mrx/schema/artifact.json", include_str!("../../state-template/.mrx/schema/artifact.json")),
    (".mrx/schema/chat.json", include_str!("../../state-template/.mrx/schema/chat.json")),
    (".mrx/schema/chat-messages.json", include_str!("../../state-template/.mrx/schema/chat-messages.json")),
    (".mrx/schema/chat-prompt.json", include_str!("../../state-template/.mrx/schema/chat-prompt.json")),
    (".mrx/schema/code.json", include_str!("../../state-template/.mrx/schema/code.json")),
    (".mrx/schema/conflict.json", include_str!("../../state-template/.mrx/schema/conflict.json")),
    (".mrx/schema/job.json", include_str!("../../state-template/.mrx/schema/job.json")),
    (".mrx/schema/project.json", include_str!("../../state-template/.mrx/schema/project.json")),
    (".mrx/schema/recipients.json", include_str!("../../state-template/.mrx/schema/recipients.json")),
    (".mrx/schema/remote.json", include_str!("../../state-template/.mrx/schema/remote.json")),
    (".mrx/schema/schedule.json", include_str!("../../state-template/.mrx/schema/schedule.json")),
    (".mrx/schema/secret.json", include_str!("../../state-template/.mrx/schema/secret.json")),
];

/// What the platform's own branch has besides.
pub const PLATFORM_FILES: &[(&str, &str)] = &[
    (".mrx/schema/claim-secret.json", include_str!("../../state-template/.mrx/schema/claim-secret.json")),
    (".mrx/schema/invite.json", include_str!("../../state-template/.mrx/schema/invite.json")),
    (".mrx/schema/key.json", include_str!("../../state-template/.mrx/schema/key.json")),
    (".mrx/schema/session.json", include_str!("../../state-template/.mrx/schema/session.json")),
    (".mrx/schema/throttle.json", include_str!("../../state-template/.mrx/schema/throttle.json")),
    (".mrx/schema/user.json", include_str!("../../state-template/.mrx/schema/user.json")),
];

/// The files of a new project's branch, as edits of its first commit.
pub fn edits() -> Vec<Edit> {
    FILES.iter().map(|(path, text)| Edit::write(*path, *text)).collect()
}

/// The same of the platform's branch.
pub fn platform_edits() -> Vec<Edit> {
    let own = PLATFORM_FILES.iter().map(|(path, text)| Edit::write(*path, *text));
    let shared = edits().into_iter().filter(|edit| !edit.path().starts_with("README"));
    shared.chain(own).chain([Edit::write("README.md", PLATFORM_README)]).collect()
}
