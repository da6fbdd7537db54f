//! Patterns of whole numbers in text: text has no minimum and no maximum.

use descriptors::Kind;

/// The least and the most that a number may be.
pub(crate) type Range = (i128, i128);

/// Returns the range of a type of whole numbers.
pub(crate) fn range(kind: Kind) -> Option<Range> {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Some((i32::MIN.into(), i32::MAX.into())),
        Kind::Uint32 | Kind::Fixed32 => Some((0, u32::MAX.into())),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some((i64::MIN.into(), i64::MAX.into())),
        Kind::Uint64 | Kind::Fixed64 => Some((0, u64::MAX.into())),
        _ => None,
    }
}

/// Returns the pattern of exactly the numbers in a range, without zeros at their start. Nothing
/// matches an empty range.
pub(crate) fn pattern(range: Range) -> String {
    format!("^(?:{})$", choices(range).join("|"))
}

/// Returns patterns that together match exactly the numbers in a range.
pub(crate) fn choices((least, most): Range) -> Vec<String> {
    let mut choices = Vec::new();
    if least <= 0 && 0 <= most {
        choices.push("0".to_owned());
    }
    let (above, below) = (of_range(least.max(1), most), of_range(1.max(-most), -least));
    if above == below && !above.is_empty() {
        choices.push(format!("-?{}", group(above)));
    } else {
        choices.extend(above);
        if !below.is_empty() {
            choices.push(format!("-{}", group(below)));
        }
    }
    choices
}

fn group(choices: Vec<String>) -> String {
    format!("(?:{})", choices.join("|"))
}

/// Returns patterns of the numbers in a range that begins above zero.
fn of_range(least: i128, most: i128) -> Vec<String> {
    if least > most {
        return Vec::new();
    }
    let (least, most) = (least.to_string(), most.to_string());
    let mut choices = Vec::new();
    if least.len() == most.len() {
        of_length(&least, &most, "", &mut choices);
        return choices;
    }
    // All numbers with as many digits as lie between.
    let (mut first, last) = (least.len() + 1, most.len() - 1);
    if is_power(&least) {
        first = least.len();
    } else {
        of_length(&least, &"9".repeat(least.len()), "", &mut choices);
    }
    if first <= last {
        choices.push(format!("[1-9][0-9]{{{},{}}}", first - 1, last - 1));
    }
    let power = format!("1{}", "0".repeat(last));
    of_length(&power, &most, "", &mut choices);
    choices
}

fn is_power(text: &str) -> bool {
    text.strip_prefix('1')
        .is_some_and(|rest| rest.bytes().all(|digit| digit == b'0'))
}

/// Appends patterns of the numbers between two of the same length, after the digits that all have.
fn of_length(least: &str, most: &str, before: &str, choices: &mut Vec<String>) {
    let ends = (least.split_at_checked(1), most.split_at_checked(1));
    let (Some((low, least)), Some((high, most))) = ends else {
        choices.push(before.to_owned());
        return;
    };
    if low == high {
        return of_length(least, most, &format!("{before}{low}"), choices);
    }
    let digit = |text: &str| text.parse::<u8>().unwrap_or_default();
    let (mut first, mut last) = (digit(low), digit(high));
    let (zeros, nines) = ("0".repeat(least.len()), "9".repeat(most.len()));
    if least != zeros {
        of_length(least, &nines, &format!("{before}{low}"), choices);
        first += 1;
    }
    let is_whole = most == nines;
    if !is_whole {
        last -= 1;
    }
    if first <= last {
        let class = match first == last {
            true => first.to_string(),
            false => format!("[{first}-{last}]"),
        };
        let rest = match zeros.len() {
            0 => String::new(),
            1 => "[0-9]".to_owned(),
            more => format!("[0-9]{{{more}}}"),
        };
        choices.push(format!("{before}{class}{rest}"));
    }
    if !is_whole {
        of_length(&zeros, most, &format!("{before}{high}"), choices);
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a_pattern_matches_the_numbers_of_its_range_alone() {
        let edges = [
            -1000, -110, -100, -99, -10, -9, -1, 0, 1, 5, 9, 10, 11, 99, 100, 109, 999,
        ];
        for (at, least) in edges.into_iter().enumerate() {
            for most in edges.into_iter().skip(at) {
                let regex = Regex::new(&pattern((least, most))).unwrap();
                for number in -1200..1200 {
                    let is_in = (least..=most).contains(&number);
                    let text = number.to_string();
                    assert_eq!(regex.is_match(&text), is_in, "{text} in {least}..={most}");
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_exact() {
        for (range, good, bad) in [
            (
                range(Kind::Int64).unwrap(),
                ["9223372036854775807", "-9223372036854775808", "0", "-7"],
                ["9223372036854775808", "-9223372036854775809", "007", "-0"],
            ),
            (
                range(Kind::Uint64).unwrap(),
                ["18446744073709551615", "0", "7", "1000"],
                ["18446744073709551616", "-1", "00", ""],
            ),
        ] {
            let regex = Regex::new(&pattern(range)).unwrap();
            assert!(good.iter().all(|text| regex.is_match(text)), "{regex}");
            assert!(!bad.iter().any(|text| regex.is_match(text)), "{regex}");
        }
    }
}
