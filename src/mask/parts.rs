//! The values inside a value: a secret that is a JSON or YAML object, such as the access to a model, holds texts that are secrets
//! of their own.

use super::text::SecretText;

/// Shorter texts are words that every log has.
const PART_CHARACTERS_MIN: usize = 6;
/// What the name of a field says if its text is a secret.
const TELLING: [&str; 5] = ["key", "token", "secret", "password", "credential"];

/// The texts of the object's fields whose names say that they are secrets; none of a value that is no object.
pub fn parts(value: &SecretText) -> Vec<SecretText> {
    let Ok(serde_yaml::Value::Mapping(fields)) = serde_yaml::from_str(value.reveal()) else {
        return Vec::new();
    };
    let is_telling = |name: &str| TELLING.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let texts = fields.iter().filter_map(|(name, text)| Some((name.as_str()?, text.as_str()?)));
    let secret = texts.filter(|(name, text)| is_telling(name) && text.chars().count() >= PART_CHARACTERS_MIN);
    secret.map(|(_, text)| text.to_owned().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(text: &str) -> Vec<String> {
        parts(&text.to_owned().into()).iter().map(|part| part.reveal().to_owned()).collect()
    }

    #[test]
    fn the_key_inside_a_models_access_is_a_value_of_its_own() {
        let json = r#"{"baseUrl": "https://example.org/v1", "apiKey": "sk-canary-1", "model": "small"}"#;
        assert_eq!(parts_of(json), ["sk-canary-1"]);
        assert_eq!(parts_of("user: me\nPASSWORD: hunter22\n"), ["hunter22"]);
    }

    #[test]
    fn a_plain_value_and_a_short_text_have_no_parts() {
        assert!(parts_of("ghp-canary-0123456789").is_empty());
        assert!(parts_of("apiKey: short").is_empty());
        assert!(parts_of("a: [").is_empty());
    }
}
