//! Pages of a list (AIP-158): one way to size and cut them in every service.

use rpc::error::Fault;

/// Rows of a page whose request names no size.
const DEFAULT_SIZE: i32 = 100;

/// The number that the token of a page holds in a list whose key is one; `None` of an empty token, the first page.
///
/// # Errors
/// INVALID_ARGUMENT if the token is no number: no page of such a list gave it out.
pub fn number(token: &str) -> Result<Option<i64>, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| {
        let text = "pageToken is none that this method returned";
        Fault::invalid_argument("INVALID_FIELD", text).violation("pageToken", text)
    })
}

/// The size of one page.
#[derive(Clone, Copy, Debug)]
pub struct Page(usize);

impl Page {
    /// The page that `page_size` asks for, in rows; 0 or less means 100. The contract bounds it from above.
    pub fn new(page_size: i32) -> Self {
        Self(
            usize::try_from(page_size)
                .ok()
                .filter(|&size| size > 0)
                .unwrap_or(DEFAULT_SIZE as usize),
        )
    }

    /// Rows to read: one more than the page holds, which tells whether another follows.
    pub fn limit(self) -> i64 {
        self.0 as i64 + 1
    }

    /// Cuts the rows that were read with [`Page::limit`] to the page, and returns the token of the next one: `key` of
    /// its last row, or nothing if this is the last.
    pub fn cut<T>(self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, String) {
        let more = rows.len() > self.0;
        rows.truncate(self.0);
        let token = if more {
            rows.last().map(key).unwrap_or_default()
        } else {
            String::new()
        };
        (rows, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_key_of_the_last_row_if_more_follow() {
        let page = Page::new(2);
        assert_eq!(page.limit(), 3);
        assert_eq!(
            page.cut(vec![1, 2, 3], i32::to_string),
            (vec![1, 2], "2".to_owned())
        );
        assert_eq!(
            page.cut(vec![1, 2], i32::to_string),
            (vec![1, 2], String::new())
        );
        assert_eq!(
            page.cut(Vec::new(), i32::to_string),
            (vec![], String::new())
        );
    }

    #[test]
    fn a_token_is_a_number_or_refused() {
        assert_eq!(number(""), Ok(None));
        assert_eq!(number("7"), Ok(Some(7)));
        for token in ["x", "7 ", "9223372036854775808"] {
            let fault = number(token).unwrap_err();
            assert_eq!(
                (fault.code, fault.reason),
                (tonic::Code::InvalidArgument, "INVALID_FIELD")
            );
            assert_eq!(fault.violations[0].field, "pageToken");
        }
    }

    #[test]
    fn no_size_means_a_hundred() {
        assert_eq!(Page::new(0).limit(), 101);
        assert_eq!(Page::new(-5).limit(), 101);
    }
}
