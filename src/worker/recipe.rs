//! What a build runs: `mrx.yaml`, read strictly. A recipe that exists is within its bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;

use super::secrets::VARIABLE_PREFIX;
use crate::id::SecretName;

/// The recipe's name in the root of the code.
pub const FILE_NAME: &str = "mrx.yaml";
/// A recipe is written by hand; a larger file is something else.
pub const FILE_BYTES_MAX: usize = 64 << 10;
/// More steps than this are a script, which a step can run.
const STEPS_MAX: usize = 100;
/// As many as a command line reasonably has; the file's size bounds their length.
const ARGUMENTS_MAX: usize = 1000;
/// Enough for every setting of a build.
const VARIABLES_MAX: usize = 200;
/// As many as a project and the platform can have together.
const SECRETS_MAX: usize = 64;
/// Enough for every kind of output.
const GLOBS_MAX: usize = 100;
/// Longer than any sensible name of a step, and short enough for a line of progress.
const NAME_CHARS_MAX: usize = 63;
/// The longest path that Linux takes is 4096; a glob as long as this is a mistake.
const GLOB_BYTES_MAX: usize = 512;
/// Shorter is a build that cannot succeed.
const TIMEOUT_SECONDS_MIN: u64 = 1;
/// A day: longer is a service, not a build.
const TIMEOUT_SECONDS_MAX: u64 = 24 * 3600;
/// What the whole build may take if the recipe does not say.
const TIMEOUT_SECONDS_DEFAULT: u64 = 3600;

/// A build's recipe.
#[derive(Debug)]
pub struct Recipe {
    /// How long all of it may take.
    pub timeout: Duration,
    /// For every step.
    pub environment: BTreeMap<String, String>,
    /// In order; at least one.
    pub steps: Vec<Step>,
    /// Which files are results.
    pub artifacts: Vec<ArtifactGlob>,
}

/// One program to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Unique in its recipe.
    pub name: String,
    /// The program and its arguments; at least the program.
    pub run: Vec<String>,
    pub network: Network,
    /// How long it may take, if less than the build.
    pub timeout: Option<Duration>,
    /// The secrets that it finds in its environment.
    pub secrets: Vec<SecretName>,
}

/// Whether a step reaches the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    None,
    Host,
}

/// A pattern of paths below the root of the code.
#[derive(Debug)]
pub struct ArtifactGlob {
    pub text: String,
    pub matcher: GlobMatcher,
}

impl ArtifactGlob {
    /// A pattern that every path is like.
    pub fn all() -> Self {
        let glob = globset::Glob::new("**").expect("the pattern is well formed");
        Self { text: "**".to_owned(), matcher: glob.compile_matcher() }
    }
}

/// Why a recipe is not one.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    #[error("{FILE_NAME} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("{FILE_NAME}: {0}")]
    NotUnderstood(#[from] serde_yaml::Error),
    #[error("{FILE_NAME}: {0}")]
    OutOfBounds(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    build: BuildText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BuildText {
    timeout_seconds: Option<u64>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    steps: Vec<StepText>,
    #[serde(default)]
    artifacts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StepText {
    name: String,
    run: Vec<String>,
    #[serde(default)]
    network: bool,
    timeout_seconds: Option<u64>,
    #[serde(default)]
    secrets: Vec<SecretName>,
}

impl Recipe {
    /// Reads the bytes of an `mrx.yaml`.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecipeError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(RecipeError::TooLarge);
        }
        let build = serde_yaml::from_slice::<File>(bytes)?.build;
        count("steps", build.steps.len(), 1, STEPS_MAX)?;
        count("environment variables", build.environment.len(), 0, VARIABLES_MAX)?;
        count("artifacts", build.artifacts.len(), 0, GLOBS_MAX)?;
        build.environment.iter().try_for_each(|(name, value)| check_variable(name, value))?;
        let steps = build.steps.into_iter().map(step).collect::<Result<Vec<_>, _>>()?;
        check_names_differ(&steps)?;
        Ok(Self {
            timeout: timeout(build.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT))?,
            environment: build.environment,
            steps,
            artifacts: build.artifacts.into_iter().map(artifact_glob).collect::<Result<_, _>>()?,
        })
    }
}

fn step(text: StepText) -> Result<Step, RecipeError> {
    let name_chars = |c: char| c.is_ascii_alphanumeric() || " ._-/".contains(c);
    let name_ends = |c: char| c.is_ascii_alphanumeric();
    let well_named = text.name.len() <= NAME_CHARS_MAX
        && text.name.chars().all(name_chars)
        && text.name.starts_with(name_ends)
        && text.name.ends_with(name_ends);
    ensure(well_named, || {
        format!(
            "a step's name is at most {NAME_CHARS_MAX} letters, digits, spaces and ._-/, not {:?}",
            text.name
        )
    })?;
    count(&format!("arguments of step {}", text.name), text.run.len(), 1, ARGUMENTS_MAX)?;
    count(&format!("secrets of step {}", text.name), text.secrets.len(), 0, SECRETS_MAX)?;
    let whole = !text.run.iter().any(|argument| argument.contains('\0')) && !text.run[0].is_empty();
    ensure(whole, || format!("step {} has an empty program or a zero byte in an argument", text.name))?;
    let network = if text.network { Network::Host } else { Network::None };
    Ok(Step {
        name: text.name,
        run: text.run,
        network,
        timeout: text.timeout_seconds.map(timeout).transpose()?,
        secrets: text.secrets,
    })
}

fn check_names_differ(steps: &[Step]) -> Result<(), RecipeError> {
    let mut seen = BTreeSet::new();
    match steps.iter().find(|step| !seen.insert(&step.name)) {
        Some(again) => Err(RecipeError::OutOfBounds(format!("two steps are named {}", again.name))),
        None => Ok(()),
    }
}

fn check_variable(name: &str, value: &str) -> Result<(), RecipeError> {
    let well_named = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    ensure(well_named, || {
        format!("{name:?} is no name of an environment variable: use letters, digits and _")
    })?;
    ensure(!name.starts_with(VARIABLE_PREFIX), || {
        format!("the environment variable {name} begins as those of secrets do; choose another name")
    })?;
    ensure(!value.contains('\0'), || format!("the environment variable {name} has a zero byte"))
}

fn artifact_glob(text: String) -> Result<ArtifactGlob, RecipeError> {
    let below_root = !text.is_empty()
        && text.len() <= GLOB_BYTES_MAX
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    ensure(below_root, || {
        format!("the artifact {text:?} is no path below the root of the code: no leading /, no . or .. in it")
    })?;
    let glob = GlobBuilder::new(&text).literal_separator(true).build();
    let glob =
        glob.map_err(|error| RecipeError::OutOfBounds(format!("the artifact {text:?}: {}", error.kind())))?;
    Ok(ArtifactGlob { matcher: glob.compile_matcher(), text })
}

fn timeout(seconds: u64) -> Result<Duration, RecipeError> {
    let bounds = TIMEOUT_SECONDS_MIN..=TIMEOUT_SECONDS_MAX;
    ensure(bounds.contains(&seconds), || {
        format!("timeoutSeconds is {TIMEOUT_SECONDS_MIN} to {TIMEOUT_SECONDS_MAX}, not {seconds}")
    })?;
    Ok(Duration::from_secs(seconds))
}

fn count(what: &str, count: usize, min: usize, max: usize) -> Result<(), RecipeError> {
    ensure((min..=max).contains(&count), || format!("{what}: {min} to {max} are allowed, not {count}"))
}

fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), RecipeError> {
    if holds { Ok(()) } else { Err(RecipeError::OutOfBounds(text())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = r#"
build:
  timeoutSeconds: 600
  environment:
    CFLAGS: -O2
  steps:
    - name: compile
      run: [make, all]
    - name: test
      run: [make, check]
      network: true
      timeoutSeconds: 60
  artifacts:
    - dist/*.tar.gz
"#;

    fn refusal(text: &str) -> String {
        Recipe::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_recipe_is_understood() {
        let recipe = Recipe::parse(DOCUMENTED.as_bytes()).unwrap();
        assert_eq!(recipe.timeout, Duration::from_secs(600));
        assert_eq!(recipe.environment["CFLAGS"], "-O2");
        let [compile, test] = &recipe.steps[..] else { panic!("{:?}", recipe.steps) };
        assert_eq!((compile.network, compile.timeout), (Network::None, None));
        assert_eq!((test.network, test.timeout), (Network::Host, Some(Duration::from_secs(60))));
        assert_eq!(compile.run, ["make", "all"]);
        let glob = &recipe.artifacts[0].matcher;
        assert!(glob.is_match("dist/a.tar.gz") && !glob.is_match("dist/sub/a.tar.gz"));
    }

    #[test]
    fn what_is_absent_has_its_documented_value() {
        let recipe = Recipe::parse(b"build: {steps: [{name: a, run: [sleep, 5, 1.10]}]}").unwrap();
        assert_eq!(recipe.timeout, Duration::from_secs(3600));
        assert_eq!(recipe.steps[0].run, ["sleep", "5", "1.10"], "numbers are arguments as they are written");
        assert!(recipe.artifacts.is_empty() && recipe.environment.is_empty());
    }

    #[test]
    fn a_recipe_out_of_bounds_is_refused_and_says_what_is_wrong() {
        let many = format!("build: {{steps: [{}]}}", "{name: a, run: [b]},".repeat(101));
        let large = format!("build: {{steps: [{{name: a, run: [{}]}}]}}", "x".repeat(70_000));
        let refused = [
            ("", "build"),
            ("build: {steps: []}", "1 to 100"),
            (&many, "1 to 100"),
            (&large, "larger"),
            ("build: {stepz: []}", "stepz"),
            ("other: 1", "other"),
            ("build: {steps: [{name: a, run: []}]}", "arguments of step a"),
            ("build: {steps: [{name: a, run: make all}]}", "sequence"),
            ("build: {steps: [{name: '', run: [b]}]}", "name"),
            ("build: {steps: [{name: \"a\\nb\", run: [b]}]}", "name"),
            ("build: {steps: [{name: a, run: [b]}, {name: a, run: [b]}]}", "two steps are named a"),
            ("build: {steps: [{name: a, run: [\"\\0\"]}]}", "zero byte"),
            ("build: {steps: [{name: a, run: [b], timeoutSeconds: 0}]}", "timeoutSeconds"),
            ("build: {timeoutSeconds: 86401, steps: [{name: a, run: [b]}]}", "timeoutSeconds"),
            ("build: {environment: {1A: b}, steps: [{name: a, run: [b]}]}", "1A"),
            ("build: {environment: {A=B: b}, steps: [{name: a, run: [b]}]}", "A=B"),
            ("build: {artifacts: [/etc/passwd], steps: [{name: a, run: [b]}]}", "/etc/passwd"),
            ("build: {artifacts: [a/../../b], steps: [{name: a, run: [b]}]}", "a/../../b"),
            ("build: {artifacts: ['[a'], steps: [{name: a, run: [b]}]}", "[a"),
        ];
        for (text, expected) in refused {
            let error = refusal(text);
            assert!(error.contains(expected), "{error} should tell of {expected}");
        }
    }

    #[test]
    fn aliases_that_unfold_without_end_are_refused() {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, before) in "bcdefghijk".chars().zip("abcdefghij".chars()) {
            text += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(","));
        }
        assert!(Recipe::parse((text + "build: *k\n").as_bytes()).is_err());
    }
}
