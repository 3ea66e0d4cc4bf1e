//! A free-form object inside an entity: a job's payload, result and failure details. No key twice, bounded depth.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// How deep objects and lists may stand in each other.
const DEPTH_MAX: usize = 32;

/// Named values, as in JSON. A clone is the same values, and costs one count: each step of a job's life copies the job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Arc<Map<String, Value>>);

impl Object {
    /// Whether it has no names.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text under this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value under this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The same object with the values of `delta` put over its own, name by name; `null` removes a name.
    pub fn merged(&self, delta: &Object) -> Object {
        let mut merged = Map::clone(&self.0);
        for (name, value) in &*delta.0 {
            if value.is_null() {
                merged.remove(name);
            } else {
                merged.insert(name.clone(), value.clone());
            }
        }
        Object(Arc::new(merged))
    }
}

impl FromIterator<(String, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self(Arc::new(pairs.into_iter().collect()))
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match (Strict { depth: 0 }).deserialize(from)? {
            Value::Object(map) => Ok(Self(Arc::new(map))),
            _ => Err(Error::custom("an object is needed here: names with values")),
        }
    }
}

/// Reads any value, refusing what JSON and YAML libraries let pass: a name twice, and depth without end.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(&self) -> Result<Strict, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("values stand more than {DEPTH_MAX} deep in each other")));
        }
        Ok(Strict { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value as in JSON")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number must be finite"))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = pairs.next_key::<String>()? {
            let value = pairs.next_value_seed(self.deeper()?)?;
            if map.insert(name.clone(), value).is_some() {
                return Err(Error::custom(format!("{name:?} stands there twice")));
            }
        }
        Ok(Value::Object(map))
    }
}

crate::schema::object_schema!(Object, "Named values, as in JSON: at most 32 deep, no name twice");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth() {
        for text in ["a: 1\na: 2", "x:\n  a: 1\n  a: 2", "- a"] {
            assert!(serde_yaml::from_str::<Object>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Object>(r#"{"x":[{"a":1,"a":2}]}"#).is_err());
    }

    #[test]
    fn values_nested_too_deep_are_refused() {
        let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(serde_json::from_str::<Object>(&deep(DEPTH_MAX - 1)).is_ok());
        assert!(serde_json::from_str::<Object>(&deep(DEPTH_MAX)).is_err());
    }

    #[test]
    fn merging_replaces_by_name_and_null_removes() {
        let object = |text| serde_json::from_str::<Object>(text).unwrap();
        let merged = object(r#"{"a":1,"b":2}"#).merged(&object(r#"{"b":null,"c":3}"#));
        assert_eq!(merged, object(r#"{"a":1,"c":3}"#));
    }
}
