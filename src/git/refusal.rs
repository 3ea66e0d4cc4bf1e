//! Why a push is refused, in words for whoever pushes: which file, which rule, what to do.

/// A refusal. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    file: Option<String>,
    rule: String,
    remedy: Option<String>,
}

impl Refusal {
    /// Of the push as a whole.
    pub fn push(rule: impl Into<String>) -> Self {
        Self { file: None, rule: rule.into(), remedy: None }
    }

    /// Because of a file.
    pub fn file(path: &str, rule: impl Into<String>) -> Self {
        Self { file: Some(path.to_owned()), rule: rule.into(), remedy: None }
    }

    /// With what to do.
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The lines that git shows. What a file or an agent says is data there, so it holds no control characters.
    pub fn lines(&self) -> Vec<String> {
        let about = self.file.as_ref().map_or_else(String::new, |file| format!("{file}: "));
        let mut lines = vec![format!("refused: {about}{}", self.rule)];
        lines.extend(self.remedy.iter().map(|remedy| format!("to do: {remedy}")));
        lines.push("nothing was changed".to_owned());
        lines
            .iter()
            .map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
            .collect()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.lines().join("; "))
    }
}
