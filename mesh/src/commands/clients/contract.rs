//! The contract of a project as buf reads it: an image without options, and so without imports that
//! only options need.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use compiler::{Compiled, Sources, is_options_only, listed};
use prost::Message as _;
use prost_types::FileDescriptorProto;

/// Imported by no contract, but in the details of every error.
const ERROR_DETAILS: &str = "google/rpc/error_details.proto";
/// Field `file` of `google.protobuf.FileDescriptorSet` and of `buf.alpha.image.v1.Image`.
const FILE: u32 = 1;
/// `buf_extension {is_import: true}` of `buf.alpha.image.v1.ImageFile`: no code is generated of the
/// file, unless a plugin wants that of imports too.
const IS_IMPORT: [u8; 6] = [0xd2, 0xf6, 0x03, 0x02, 0x08, 0x01];

/// A compiled contract.
#[derive(Debug)]
pub(super) struct Contract {
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    descriptor: FileDescriptorProto,
    /// Whether it is of the project.
    is_own: bool,
}

// === impl Contract ===

impl Contract {
    /// Compiles the files of the directories.
    pub(super) fn read(paths: &[PathBuf], includes: &[PathBuf]) -> Result<Self> {
        let sources = Sources::new(paths).also(ERROR_DETAILS);
        let sources = sources.import_hint("`--include DIR`");
        let sources = includes
            .iter()
            .fold(sources, |sources, dir| sources.include(dir));
        let compiled = sources.compile()?;
        if !compiled.problems.is_empty() {
            let mut problems = compiled.problems.clone();
            for problem in &mut problems {
                problem.file = compiled.path(&problem.file).display().to_string();
            }
            bail!("{}", listed(&problems));
        }
        Ok(Self::of(&compiled, paths))
    }

    fn of(compiled: &Compiled, paths: &[PathBuf]) -> Self {
        let files = compiled.files.file.iter();
        let files = files.filter(|file| !is_options_only(file.name()));
        let files = files.map(|file| File {
            is_own: is_below(&compiled.path(file.name()), paths),
            descriptor: without_options(file.clone()),
        });
        Self {
            files: files.collect(),
        }
    }

    /// Encodes the contract as a `buf.alpha.image.v1.Image`. Files that do not name their packages
    /// of Go and Java get such as buf's managed mode gives them.
    pub(super) fn image(&self, go_prefix: &str) -> Vec<u8> {
        let mut image = Vec::new();
        for file in &self.files {
            let mut descriptor = file.descriptor.clone();
            name_packages(&mut descriptor, go_prefix);
            let mut bytes = descriptor.encode_to_vec();
            if !file.is_own {
                bytes.extend(IS_IMPORT);
            }
            prost::encoding::bytes::encode(FILE, &bytes, &mut image);
        }
        image
    }
}

fn is_below(path: &Path, dirs: &[PathBuf]) -> bool {
    dirs.iter().any(|dir| path.starts_with(dir))
}

/// Leaves out the imports whose options the compiler has already left out.
fn without_options(mut file: FileDescriptorProto) -> FileDescriptorProto {
    let mut kept = Vec::new();
    let dependencies = std::mem::take(&mut file.dependency);
    for (index, dependency) in (0..).zip(dependencies) {
        if !is_options_only(&dependency) {
            kept.push(index);
            file.dependency.push(dependency);
        }
    }
    for indices in [&mut file.public_dependency, &mut file.weak_dependency] {
        let moved = indices.iter().filter_map(|old| {
            let new = kept.iter().position(|index| index == old)?;
            i32::try_from(new).ok()
        });
        *indices = moved.collect();
    }
    file
}

fn name_packages(file: &mut FileDescriptorProto, go_prefix: &str) {
    let package = file.package().to_owned();
    let path = Path::new(file.name()).with_extension("");
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let class = format!("{}Proto", pascal(&stem));
    let parent = path.parent().unwrap_or(Path::new(""));
    let directory: Vec<_> = [go_prefix.into(), parent.to_string_lossy()].into();
    let directory = directory.join("/");
    let short = match package.rsplit('.').collect::<Vec<_>>().as_slice() {
        // `orders.v1` becomes `ordersv1`: `v1` alone would name every package.
        [version, name, ..] if is_version(version) => format!("{name}{version}"),
        [name, ..] => (*name).to_owned(),
        [] => String::new(),
    };
    let options = file.options.get_or_insert_default();
    let go = || format!("{};{short}", directory.trim_end_matches('/'));
    options.go_package.get_or_insert_with(go);
    options
        .java_package
        .get_or_insert_with(|| format!("com.{package}"));
    options.java_multiple_files.get_or_insert(true);
    options.java_outer_classname.get_or_insert(class);
}

fn is_version(name: &str) -> bool {
    let number = name.strip_prefix('v');
    number.is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

/// Returns `orders_service` as `OrdersService`.
fn pascal(name: &str) -> String {
    let words = name.split(['_', '-', '.']);
    let capitalized = words.map(|word| {
        let (first, others) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + others
    });
    capitalized.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prost_types::FileDescriptorSet;

    use super::*;

    /// Returns the files of an image by name, and the names of those that are imports only.
    fn image(go_prefix: &str, text: &str) -> (Vec<FileDescriptorProto>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("orders/v1")).unwrap();
        fs::write(dir.path().join("orders/v1/order_service.proto"), text).unwrap();
        let contract = Contract::read(&[dir.path().to_owned()], &[]).unwrap();
        let bytes = contract.image(go_prefix);
        let files = FileDescriptorSet::decode(&*bytes).unwrap().file;
        let imports = contract.files.iter().filter(|file| !file.is_own);
        let imports = imports.map(|file| file.descriptor.name().to_owned());
        let marks = bytes.windows(IS_IMPORT.len());
        let marks = marks.filter(|bytes| *bytes == IS_IMPORT).count();
        let imports: Vec<String> = imports.collect();
        assert_eq!(marks, imports.len());
        (files, imports)
    }

    fn own(files: &[FileDescriptorProto]) -> &FileDescriptorProto {
        let mut files = files.iter();
        let own = files.find(|file| file.name() == "orders/v1/order_service.proto");
        own.unwrap()
    }

    #[test]
    fn imports_for_options_are_left_out_and_others_are_marked() {
        let text = "syntax = \"proto3\"; package orders.v1;
            import \"buf/validate/validate.proto\"; import \"google/api/httpbody.proto\";
            message Order { string id = 1 [(buf.validate.field).string.min_len = 1];
              google.api.HttpBody file = 2; }";
        let (files, imports) = image("example.com/gen", text);
        assert_eq!(own(&files).dependency, ["google/api/httpbody.proto"]);
        assert!(files.iter().all(|file| file.package() != "buf.validate"));
        for import in ["google/api/httpbody.proto", ERROR_DETAILS] {
            assert!(imports.contains(&import.to_owned()), "{imports:?}");
        }
    }

    #[test]
    fn packages_are_named_unless_the_contract_names_them() {
        let (files, _) = image("example.com/gen", "syntax = \"proto3\"; package orders.v1;");
        let options = own(&files).options.clone().unwrap();
        assert_eq!(options.go_package(), "example.com/gen/orders/v1;ordersv1");
        assert_eq!(options.java_package(), "com.orders.v1");
        assert_eq!(options.java_outer_classname(), "OrderServiceProto");
        assert!(options.java_multiple_files());
        let named = "syntax = \"proto3\"; package orders.v1;
            option go_package = \"a.example/orders\"; option java_package = \"example.a\";";
        let (files, _) = image("example.com/gen", named);
        let options = own(&files).options.clone().unwrap();
        assert_eq!(options.go_package(), "a.example/orders");
        assert_eq!(options.java_package(), "example.a");
    }
}
