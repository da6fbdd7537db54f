//! Fields that have to be there (`required` of proto2, the feature `LEGACY_REQUIRED`): no decoder
//! would take a message without them, so that none is written.

use descriptors::{FieldPlan, Kind, Label, MessageId, Occurrence, collect, key_of};

use crate::error::{Failure, RequestError, Rule, of_wire};
use crate::tables::Tables;

/// Rejects a message, written by this crate, in which one is absent; costs nothing where the schema
/// has none. Unset messages demand nothing, and the content of an `Any` is not checked.
pub(crate) fn check_written(types: &Tables, id: MessageId, wire: &[u8]) -> Result<(), Failure> {
    check(types, id, &[wire])
}

/// `parts`: the occurrences of one message, which are merged field by field.
fn check(types: &Tables, id: MessageId, parts: &[&[u8]]) -> Result<(), Failure> {
    let plan = types.message(id);
    if !plan.has_required_below {
        return Ok(());
    }
    let known = collect(types, plan, parts, |_| true)
        .map_err(|error| of_wire(&error))?
        .known;
    for (index, field) in plan.fields.iter().enumerate() {
        let is_set = |occurrence: &Occurrence<'_>| occurrence.index == index;
        if field.is_required && !known.iter().any(is_set) {
            let failure = RequestError::new(Rule::InvalidValue, "the field is required");
            return Err(failure.in_field(&field.shown_name));
        }
    }
    for group in known.chunk_by(|one, two| one.index == two.index) {
        let field = &plan.fields[group[0].index];
        if let Some(inner) = field.message()
            && types.message(inner).has_required_below
        {
            check_values(types, field, inner, group)
                .map_err(|failure| failure.in_field(&field.shown_name))?;
        }
    }
    Ok(())
}

fn check_values(
    types: &Tables,
    field: &FieldPlan,
    id: MessageId,
    group: &[Occurrence<'_>],
) -> Result<(), Failure> {
    let contents = group.iter().map(|occurrence| occurrence.content(field));
    let contents: Vec<&[u8]> = contents
        .collect::<Result<_, _>>()
        .map_err(|error| of_wire(&error))?;
    match field.label {
        Label::Implicit | Label::Explicit => check(types, id, &contents),
        Label::Repeated | Label::Packed => contents.iter().enumerate().try_for_each(|(at, one)| {
            check(types, id, &[one]).map_err(|failure| failure.at_index(at))
        }),
        Label::Map => contents
            .iter()
            .try_for_each(|entry| check_entry(types, id, entry)),
    }
}

fn check_entry(types: &Tables, id: MessageId, entry: &[u8]) -> Result<(), Failure> {
    let plan = types.message(id);
    let [key, value] = plan.fields.as_slice() else {
        return Ok(());
    };
    let Some(inner) = value.message() else {
        return Ok(());
    };
    let values =
        collect(types, plan, &[entry], |index| index == 1).map_err(|error| of_wire(&error))?;
    let contents = values.known.iter().map(|value_at| value_at.content(value));
    let contents: Vec<&[u8]> = contents
        .collect::<Result<_, _>>()
        .map_err(|error| of_wire(&error))?;
    check(types, inner, &contents).map_err(|failure| match key_of(entry, key.kind) {
        Ok(text) if key.kind == Kind::String => failure.at_key(&String::from_utf8_lossy(&text)),
        _ => failure,
    })
}

#[cfg(test)]
mod tests {
    use crate::Schema;
    use crate::testing;

    const PROTO: &str = "
        message Item { required string sku = 1; optional int32 count = 2; }
        message Order { required string id = 1; optional Item first = 2; repeated Item items = 3;
          map<string, Item> named = 4; optional Order parent = 5; }
        service S {
          rpc Put(Order) returns (Order) { option (google.api.http) = { post: \"/orders/{id}\" body: \"*\" }; }
          rpc PutFirst(Order) returns (Order) { option (google.api.http) = { post: \"/firsts\" body: \"first\" }; }
        }
    ";

    fn answer(schema: &Schema, path: &str, query: Option<&str>, body: &str) -> String {
        let found = schema.route(&http::Method::POST, path).unwrap();
        let mut wire = b"before".to_vec();
        match found.encode_request(query, body.as_bytes(), &mut wire) {
            Ok(()) => "taken".into(),
            Err(error) => {
                assert_eq!(wire, b"before");
                error.to_string()
            }
        }
    }

    #[test]
    fn a_field_that_is_missing_is_named() {
        let schema = testing::compile_proto2(PROTO).unwrap();
        let message = schema.message("t.Order").unwrap();
        for (json, expected) in [
            (r#"{"id":"a"}"#, "taken"),
            (r#"{"id":""}"#, "taken"),
            ("{}", "id: the field is required"),
            (r#"{"id":null}"#, "id: the field is required"),
            (
                r#"{"id":"a","first":{"count":1}}"#,
                "first.sku: the field is required",
            ),
            (r#"{"id":"a","first":null,"items":[]}"#, "taken"),
            (
                r#"{"id":"a","items":[{"sku":"x"},{}]}"#,
                "items[1].sku: the field is required",
            ),
            (
                r#"{"id":"a","named":{"k":{"sku":"x"},"l":{}}}"#,
                "named[\"l\"].sku: the field is required",
            ),
            (
                r#"{"id":"a","parent":{"parent":{"id":"b"}}}"#,
                "parent.id: the field is required",
            ),
        ] {
            let read = message.read_json(json.as_bytes(), &mut Vec::new());
            let found = read.map_or_else(|error| error.to_string(), |()| "taken".into());
            assert_eq!(found, expected, "{json}");
        }
    }

    #[test]
    fn path_query_and_body_only_together_make_a_message() {
        let schema = testing::compile_proto2(PROTO).unwrap();
        assert_eq!(answer(&schema, "/orders/a", None, "{}"), "taken");
        let body = r#"{"count":1}"#;
        let firsts = |query| answer(&schema, "/firsts", query, body);
        assert_eq!(firsts(Some("id=a")), "first.sku: the field is required");
        assert_eq!(firsts(None), "id: the field is required");
        let body = r#"{"sku":"x"}"#;
        assert_eq!(answer(&schema, "/firsts", Some("id=a"), body), "taken");
    }
}
