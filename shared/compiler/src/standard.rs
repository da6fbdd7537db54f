//! The standard files that a contract imports without having them.

use protox::Error;
use protox::file::{File, FileResolver, GoogleFileResolver};

/// A file of this crate, under the name that imports spell.
struct Standard {
    name: &'static str,
    source: &'static str,
    /// It declares options, which are read from descriptors: nobody needs types for it.
    is_options_only: bool,
}

/// Resolves imports of standard files.
pub(crate) struct StandardFiles;

macro_rules! standard {
    ($dir:literal, $is_options_only:literal: $($name:literal),* $(,)?) => {
        &[$(Standard {
            name: $name,
            source: include_str!(concat!("../", $dir, "/", $name)),
            is_options_only: $is_options_only,
        }),*]
    };
}

const OPTIONS: &[Standard] = standard!("third_party", true:
    "buf/validate/validate.proto",
    "google/api/annotations.proto",
    "google/api/client.proto",
    "google/api/field_behavior.proto",
    "google/api/field_info.proto",
    "google/api/http.proto",
    "google/api/launch_stage.proto",
    "google/api/resource.proto",
    "google/api/visibility.proto",
    "protoc-gen-openapiv2/options/annotations.proto",
    "protoc-gen-openapiv2/options/openapiv2.proto",
);

const OWN: &[Standard] = standard!("proto", true: "mesh/v1/options.proto");

const MESSAGES: &[Standard] = standard!("third_party", false:
    "google/api/httpbody.proto",
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
    "google/type/calendar_period.proto",
    "google/type/color.proto",
    "google/type/date.proto",
    "google/type/datetime.proto",
    "google/type/dayofweek.proto",
    "google/type/decimal.proto",
    "google/type/expr.proto",
    "google/type/fraction.proto",
    "google/type/interval.proto",
    "google/type/latlng.proto",
    "google/type/localized_text.proto",
    "google/type/money.proto",
    "google/type/month.proto",
    "google/type/phone_number.proto",
    "google/type/postal_address.proto",
    "google/type/quaternion.proto",
    "google/type/timeofday.proto",
);

/// Files that every compiler has, and whose messages contracts use.
const LANGUAGE: [&str; 7] = [
    "google/protobuf/any.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/wrappers.proto",
];

/// Returns whether the standard file of this name only declares options and so needs no types.
pub fn is_options_only(name: &str) -> bool {
    all().any(|file| file.name == name && file.is_options_only)
}

/// Returns the names of all standard files that are likely to be imported.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|file| file.name).chain(LANGUAGE)
}

/// Returns the standard file that declares a message, an enum or an option of this full name.
pub(crate) fn declaring(full_name: &str) -> Option<&'static str> {
    let (package, name) = full_name.trim_start_matches('.').rsplit_once('.')?;
    let declares = |file: &File| {
        let file = file.file_descriptor_proto();
        let messages = file.message_type.iter().map(|own| own.name());
        let enums = file.enum_type.iter().map(|own| own.name());
        let extensions = file.extension.iter().map(|own| own.name());
        let mut names = messages.chain(enums).chain(extensions);
        file.package() == package && names.any(|own| own == name)
    };
    let mut files = names();
    files.find(|file| {
        let opened = StandardFiles.open_file(file);
        let opened = opened.or_else(|_| GoogleFileResolver::new().open_file(file));
        opened.is_ok_and(|file| declares(&file))
    })
}

fn all() -> impl Iterator<Item = &'static Standard> {
    OPTIONS.iter().chain(OWN).chain(MESSAGES)
}

// === impl StandardFiles ===

impl FileResolver for StandardFiles {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match all().find(|file| file.name == name) {
            Some(file) => File::from_source(file.name, file.source),
            None => Err(Error::file_not_found(name)),
        }
    }
}
