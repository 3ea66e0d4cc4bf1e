//! Writes a value as YAML in block style: one line a field, lists under their name.
//!
//! Every commit writes a file, and the general library takes about a quarter of a commit's time for it. This covers
//! what files of state are: structs, maps, lists, texts, numbers and nothing; it is checked against the library's reader.

use std::fmt;

use serde::ser::{self, Impossible, Serialize};

use super::text;

/// Readers give up on a name before `:` after 1024 characters (YAML 1.2 §7.4.2); quoted, a byte can become six.
const SIMPLE_NAME_BYTES_MAX: usize = 128;

/// The value is none that a file of state can hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct EmitError(String);

impl ser::Error for EmitError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Writes `value`, which must be a struct or a map, as a whole file.
pub(super) fn write<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), EmitError> {
    value.serialize(Value { out, indent: 0, place: Place::Top })
}

/// Where a value stands: what must come before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of the file.
    Top,
    /// Behind `name:`.
    Field,
    /// Behind `-`.
    Item,
}

/// Takes one value and ends its line.
struct Value<'a> {
    out: &'a mut Vec<u8>,
    /// The column of the line's name or dash.
    indent: usize,
    place: Place,
}

impl Value<'_> {
    fn line(mut self, word: &[u8]) -> Result<(), EmitError> {
        self.space();
        self.out.extend_from_slice(word);
        self.out.push(b'\n');
        Ok(())
    }

    fn number(self, number: impl fmt::Display) -> Result<(), EmitError> {
        self.line(number.to_string().as_bytes())
    }

    /// A value behind `name:` has a space before it; one behind `- ` has it already.
    fn space(&mut self) {
        if self.place == Place::Field {
            self.out.push(b' ');
        }
    }
}

/// A map or struct in the making.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    indent: usize,
    place: Place,
    count: usize,
}

impl Fields<'_> {
    /// Begins a line with a name. The first one of a list's item stands behind its dash.
    fn begin(&mut self, name: &str) {
        if self.count == 0 && self.place == Place::Field {
            self.out.push(b'\n');
        }
        if self.count > 0 || self.place != Place::Item {
            self.out.resize(self.out.len() + self.indent, b' ');
        }
        self.count += 1;
        if name.len() > SIMPLE_NAME_BYTES_MAX {
            return self.begin_long(name);
        }
        text::write_name(self.out, name);
        self.out.push(b':');
    }

    /// A long name stands on a line of its own, behind `?`.
    fn begin_long(&mut self, name: &str) {
        self.out.extend_from_slice(b"? ");
        text::write_name(self.out, name);
        self.out.push(b'\n');
        self.out.resize(self.out.len() + self.indent, b' ');
        self.out.push(b':');
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EmitError> {
        value.serialize(Value { out: self.out, indent: self.indent, place: Place::Field })
    }

    fn finish(self) -> Result<(), EmitError> {
        if self.count == 0 {
            let empty: &[u8] = if self.place == Place::Field { b" {}\n" } else { b"{}\n" };
            self.out.extend_from_slice(empty);
        }
        Ok(())
    }
}

/// A list in the making.
struct Items<'a> {
    out: &'a mut Vec<u8>,
    indent: usize,
    place: Place,
    count: usize,
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = EmitError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EmitError> {
        if self.count == 0 && self.place == Place::Field {
            self.out.push(b'\n');
        }
        if self.count > 0 || self.place != Place::Item {
            self.out.resize(self.out.len() + self.indent, b' ');
        }
        self.count += 1;
        self.out.extend_from_slice(b"- ");
        value.serialize(Value { out: self.out, indent: self.indent + 2, place: Place::Item })
    }

    fn end(self) -> Result<(), EmitError> {
        if self.count == 0 {
            let empty: &[u8] = if self.place == Place::Field { b" []\n" } else { b"[]\n" };
            self.out.extend_from_slice(empty);
        }
        Ok(())
    }
}

impl ser::SerializeMap for Fields<'_> {
    type Ok = ();
    type Error = EmitError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EmitError> {
        match serde_json::to_value(key) {
            Ok(serde_json::Value::String(name)) => self.begin(&name),
            _ => return unsupported("name that is no text"),
        }
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EmitError> {
        self.value(value)
    }
    fn end(self) -> Result<(), EmitError> {
        self.finish()
    }
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = EmitError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EmitError> {
        self.begin(name);
        self.value(value)
    }
    fn end(self) -> Result<(), EmitError> {
        self.finish()
    }
}

impl<'a> Value<'a> {
    fn fields(self) -> Fields<'a> {
        let indent = if self.place == Place::Field { self.indent + 2 } else { self.indent };
        Fields { out: self.out, indent, place: self.place, count: 0 }
    }

    fn items(self) -> Items<'a> {
        Items { out: self.out, indent: self.indent, place: self.place, count: 0 }
    }
}

fn unsupported<T>(what: &str) -> Result<T, EmitError> {
    Err(EmitError(format!("a file of state holds no {what}")))
}

impl<'a> ser::Serializer for Value<'a> {
    type Ok = ();
    type Error = EmitError;
    type SerializeSeq = Items<'a>;
    type SerializeMap = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeTuple = Impossible<(), EmitError>;
    type SerializeTupleStruct = Impossible<(), EmitError>;
    type SerializeTupleVariant = Impossible<(), EmitError>;
    type SerializeStructVariant = Impossible<(), EmitError>;

    fn serialize_bool(self, value: bool) -> Result<(), EmitError> {
        self.line(if value { b"true" } else { b"false" })
    }
    fn serialize_i8(self, value: i8) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_i16(self, value: i16) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_i32(self, value: i32) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_i64(self, value: i64) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_u8(self, value: u8) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_u16(self, value: u16) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_u32(self, value: u32) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_u64(self, value: u64) -> Result<(), EmitError> {
        self.number(value)
    }
    fn serialize_f32(self, value: f32) -> Result<(), EmitError> {
        self.serialize_f64(value.into())
    }
    fn serialize_f64(self, value: f64) -> Result<(), EmitError> {
        if !value.is_finite() {
            return unsupported("number without end");
        }
        self.number(format_args!("{value:?}"))
    }
    fn serialize_char(self, value: char) -> Result<(), EmitError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(mut self, value: &str) -> Result<(), EmitError> {
        self.space();
        let indent = if self.place == Place::Item { self.indent - 2 } else { self.indent };
        text::write_value(self.out, value, indent);
        self.out.push(b'\n');
        Ok(())
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<(), EmitError> {
        unsupported("bytes")
    }
    fn serialize_none(self) -> Result<(), EmitError> {
        self.line(b"null")
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EmitError> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), EmitError> {
        self.line(b"null")
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EmitError> {
        self.line(b"null")
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EmitError> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EmitError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), EmitError> {
        unsupported("variant with a value")
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, EmitError> {
        Ok(self.items())
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EmitError> {
        unsupported("tuple")
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, EmitError> {
        unsupported("tuple")
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, EmitError> {
        unsupported("variant with a value")
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Fields<'a>, EmitError> {
        Ok(self.fields())
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, EmitError> {
        Ok(self.fields())
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, EmitError> {
        unsupported("variant with a value")
    }
}
