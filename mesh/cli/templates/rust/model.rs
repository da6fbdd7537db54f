//! Decisions without I/O; their tests need no engine.

use protomesh::Fault;

use crate::protos::{{name}}::v1::{CreateItemRequest, Item};

/// Makes the item of a request. The rules of single fields are in the contract and already
/// checked; rules that a contract can't express belong here.
///
/// # Errors
/// INVALID_ARGUMENT if the title has only white space.
pub fn item(request: CreateItemRequest) -> Result<Item, Fault> {
    let CreateItemRequest { item_id, title, quantity } = request;
    let title = title.trim().to_owned();
    if title.is_empty() {
        let fault = Fault::invalid_argument("BLANK_TITLE", "the title has only white space");
        return Err(fault.violation("title", "has only white space"));
    }
    Ok(Item { item_id, title, quantity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_title_is_no_part_of_it() {
        let of = |title: &str| CreateItemRequest { title: title.into(), ..<_>::default() };
        assert_eq!(item(of("  a lamp ")).unwrap().title, "a lamp");
        assert_eq!(item(of(" \t")).unwrap_err().reason, "BLANK_TITLE");
    }
}
