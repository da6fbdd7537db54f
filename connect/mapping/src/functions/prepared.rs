//! Arguments that are written out, and prepared once.

use std::sync::Arc;

use cel::Boxed;
use cel::engine::common::types::Type;
use cel::engine::common::value::{StaticVal, Val};
use chrono::format::{Fixed, Item, Numeric, StrftimeItems};
use chrono::{FixedOffset, TimeZone};
use chrono_tz::Tz;
use descriptors::did_you_mean;

use super::regex_of;
use crate::tables::{Table, Tables};

/// The type of prepared arguments.
static PREPARED: Type = Type::new_unspecified_type("prepared");

/// Formats of a time, tried in order.
#[derive(Debug, Clone)]
pub(super) struct Formats(pub(super) Arc<[String]>);

/// A time zone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zone {
    Named(Tz),
    Offset(FixedOffset),
}

/// The choice among two moments that clocks show alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Earlier,
    Later,
    Refuse,
}

/// A pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) regex::Regex);

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Entries(pub(super) Table);

macro_rules! value {
    ($($name:ident)*) => {$(
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &PREPARED
            }

            fn cel_type() -> &'static Type {
                &PREPARED
            }

            fn clone_as_boxed<'v>(&self) -> Boxed<'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn std::any::Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    )*};
}

value!(Formats Zone Policy Pattern Entries);

type Prepared = Result<Boxed<'static>, String>;

/// Prepares formats of strftime with `|` between them.
pub(super) fn formats(text: &str) -> Prepared {
    let formats: Vec<String> = text.split('|').map(str::to_owned).collect();
    for format in &formats {
        let Ok(items) = StrftimeItems::new(format).parse() else {
            return Err(format!("has a format that strftime doesn't know: `{format}`"));
        };
        if !has_date(&items) {
            return Err(format!("has a format without a date: `{format}`"));
        }
    }
    Ok(Box::new(Formats(formats.into())))
}

fn has_date(items: &[Item<'_>]) -> bool {
    use Numeric::{Day, IsoWeek, Month, Ordinal, Timestamp, Year, YearMod100};
    let has = |wanted: &[Numeric]| {
        items.iter().any(|item| matches!(item, Item::Numeric(own, _) if wanted.contains(own)))
    };
    let has_name = items.iter().any(|item| {
        matches!(item, Item::Fixed(Fixed::ShortMonthName | Fixed::LongMonthName))
    });
    let whole = items.iter().any(|item| {
        matches!(item, Item::Fixed(Fixed::RFC2822 | Fixed::RFC3339))
    });
    let month = has(&[Month]) || has_name;
    let day = has(&[Ordinal]) || month && has(&[Day]) || has(&[IsoWeek]);
    whole || has(&[Timestamp]) || has(&[Year, YearMod100, Numeric::IsoYear]) && day
}

/// Prepares a zone: a name of the IANA database, or an offset such as `+02:00`.
pub(super) fn zone(text: &str) -> Prepared {
    if let Ok(zone) = text.parse::<Tz>() {
        return Ok(Box::new(Zone::Named(zone)));
    }
    if let Ok(offset) = text.parse::<FixedOffset>() {
        return Ok(Box::new(Zone::Offset(offset)));
    }
    let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let meant = did_you_mean(text, names);
    Err(format!("is no time zone{meant}"))
}

/// Prepares the choice among two moments.
pub(super) fn policy(text: &str) -> Prepared {
    Ok(Box::new(match text {
        "earlier" => Policy::Earlier,
        "later" => Policy::Later,
        "refuse" => Policy::Refuse,
        _ => return Err("is neither 'earlier', 'later' nor 'refuse'".to_owned()),
    }))
}

/// Prepares a pattern.
pub(super) fn pattern(text: &str) -> Prepared {
    Ok(Box::new(Pattern(regex_of(text)?)))
}

/// Prepares the table of this name.
pub(super) fn table(name: &str, tables: &Tables) -> Prepared {
    match tables.get(name) {
        Some(table) => Ok(Box::new(Entries(table.clone()))),
        None => {
            let meant = did_you_mean(name, tables.keys().map(String::as_str));
            Err(format!("is no table of the mapping{meant}"))
        }
    }
}

// === impl Zone ===

impl Zone {
    /// Returns the moments at which clocks of the zone show a time: none, one or two.
    pub(super) fn moments(self, time: chrono::NaiveDateTime) -> Vec<chrono::DateTime<chrono::Utc>> {
        fn both<Z: TimeZone>(zone: &Z, time: chrono::NaiveDateTime) -> Vec<chrono::DateTime<chrono::Utc>> {
            match zone.from_local_datetime(&time) {
                chrono::LocalResult::None => Vec::new(),
                chrono::LocalResult::Single(one) => vec![one.to_utc()],
                chrono::LocalResult::Ambiguous(one, other) => {
                    let (one, other) = (one.to_utc(), other.to_utc());
                    vec![one.min(other), one.max(other)]
                }
            }
        }
        match self {
            Zone::Named(zone) => both(&zone, time),
            Zone::Offset(offset) => both(&offset, time),
        }
    }
}
