//! Texts of others in HTML and in lines of a shell.

/// Returns a text that is only text in HTML, in elements and in quoted attributes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Returns a text as one word of a POSIX shell.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_quotes_are_text() {
        let text = escaped("<a href=\"x\" b='y'>&");
        assert_eq!(text, "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(word("http://a:1/b"), "http://a:1/b");
        assert_eq!(word("http://a/b?c=d"), "'http://a/b?c=d'");
        assert_eq!(word("it's $(x)"), "'it'\\''s $(x)'");
        assert_eq!(word(""), "''");
    }
}
