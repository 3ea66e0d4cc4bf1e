//! Files of state as YAML: written from types, and read back strictly and within bounds.
//!
//! - `emit` writes values   - `text` decides how a text stands; reading is the library's

mod emit;
mod text;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No file of state is larger: a deeply nested one costs seconds to refuse, and no entity needs more.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A file of state that is not what its path says it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} is not a valid {kind} file: {cause}")]
pub struct BadFile {
    /// The file.
    pub path: String,
    /// What it should hold.
    pub kind: &'static str,
    /// What is wrong with it, with line and column where they are known.
    pub cause: String,
}

/// The file of a value.
pub fn write<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    emit::write(&mut out, value).expect("a type of state is made of structs, maps, lists, texts and numbers");
    out
}

/// The value of a file: at most 1 MiB of UTF-8, no unknown or double fields.
pub fn read<T: DeserializeOwned>(path: &str, kind: &'static str, bytes: &[u8]) -> Result<T, BadFile> {
    let bad = |cause: String| BadFile { path: path.to_owned(), kind, cause };
    if bytes.len() > FILE_BYTES_MAX {
        return Err(bad(format!("it has {} bytes, more than {FILE_BYTES_MAX}", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    serde_yaml::from_str(text).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value, json};

    fn reads_back(value: &Value) {
        let file = write(value);
        let text = std::str::from_utf8(&file).unwrap();
        let read: Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        assert_eq!(&read, value, "{text}");
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,12}",
            "\\PC{0,8}",
            "[a-c \n\t#:'\"-]{0,12}",
            "[0-9.eE+_xo:-]{1,8}",
            prop::sample::select(vec![
                "null",
                "No",
                "~",
                "y",
                "true",
                ".inf",
                "0x1F",
                "1_000",
                "12:30:45",
                "2026-11-20",
                "- a",
                "a: b",
                "a #b",
                "\u{feff}",
                "\r\n",
                "|",
                ">",
                "line\n",
                "a\n\nb",
                " a\nb",
                "a\n"
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e12f64..1e12).prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)),
            texts().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((texts(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_reads_back_as_it_was_written(pairs in prop::collection::vec((texts(), values()), 0..5)) {
            reads_back(&Value::Object(pairs.into_iter().collect::<Map<_, _>>()));
        }
    }

    #[test]
    fn a_very_long_name_reads_back() {
        for name in ["n".repeat(5000), "\n".repeat(200), "x: ".repeat(100)] {
            reads_back(&json!({ "list": [{ &name: 1, "b": { &name: [1] } }], &name: "text\nof lines" }));
        }
    }

    #[test]
    fn a_file_reads_well() {
        let value = json!({
            "title": "UI rewrite: second try", "plain": "mrx-weather", "time": "2026-11-20T18:30:00.000Z", "no": "no",
            "number": 7, "empty": {}, "list": ["a", {"b": 1, "c": [true, null]}], "text": "first line\n\n  second\n",
        });
        insta::assert_snapshot!(String::from_utf8(write(&value)).unwrap(), @r#"
        empty: {}
        list:
        - a
        - b: 1
          c:
          - true
          - null
        "no": "no"
        number: 7
        plain: mrx-weather
        text: |
          first line

            second
        time: 2026-11-20T18:30:00.000Z
        title: "UI rewrite: second try"
        "#);
    }
}
