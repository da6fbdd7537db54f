//! Sources as descriptor files: compiled, read again when they or an import change, refused with
//! the mistake.

use std::fs;

use tempfile::TempDir;

use super::*;

const SERVICE: &str = "syntax = \"proto3\";\npackage shop.v1;\nimport \"money/money.proto\";\n\
     import \"google/api/annotations.proto\";\n\
     service Shop { rpc Get(money.Amount) returns (money.Amount) { \
     option (google.api.http) = {get: \"/v1/shop\"}; } }\n";
const MONEY: &str = "syntax = \"proto3\";\npackage money;\nmessage Amount { int64 units = 1; }\n";

struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Tree(TempDir::new().unwrap());
        tree.write("api/shop/v1/shop.proto", SERVICE);
        tree.write("vendor/money/money.proto", MONEY);
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

async fn services(files: &mut DescriptorFiles) -> Vec<String> {
    let sets = files.current().await.unwrap();
    let names = sets.iter().flat_map(|set| set.services.keys().cloned());
    names.collect()
}

#[tokio::test]
async fn directories_are_compiled_and_each_has_the_imports_of_the_others() {
    let tree = Tree::new();
    let mut files = DescriptorFiles::new(vec![tree.path("api"), tree.path("vendor")]);
    assert_eq!(services(&mut files).await, ["shop.v1.Shop"]);
    let sets = files.current().await.unwrap();
    let shop = sets.first().unwrap();
    for name in [
        "shop/v1/shop.proto",
        "money/money.proto",
        "google/api/http.proto",
    ] {
        assert!(shop.files.contains_key(name), "{name}");
    }
    // Comments and lines, which documents and errors need.
    let file = FileDescriptorProto::decode(shop.files["shop/v1/shop.proto"].clone()).unwrap();
    assert!(file.source_code_info.is_some());
}

#[tokio::test]
async fn a_file_is_compiled_alone_and_found_again_when_an_import_changes() {
    let tree = Tree::new();
    let paths = vec![tree.path("api/shop/v1/shop.proto"), tree.path("vendor")];
    let mut files = DescriptorFiles::new(paths);
    assert_eq!(services(&mut files).await, ["shop.v1.Shop"]);
    // The import has its stamp now.
    files.current().await.unwrap();
    let known = files.stamps.clone();
    files.current().await.unwrap();
    assert_eq!(files.stamps, known);
    assert!(known.values().all(|stamp| stamp.0 > 0), "{known:?}");

    let more = MONEY.replace("units = 1;", "units = 1; int32 nanos = 2;");
    tree.write("vendor/money/money.proto", &more);
    let sets = files.current().await.unwrap();
    let money = &sets.first().unwrap().files["money/money.proto"];
    let money = FileDescriptorProto::decode(money.clone()).unwrap();
    assert_eq!(money.message_type.first().unwrap().field.len(), 2);
}

#[tokio::test]
async fn a_new_file_of_a_directory_is_read() {
    let tree = Tree::new();
    let mut files = DescriptorFiles::new(vec![tree.path("vendor")]);
    assert_eq!(services(&mut files).await, [""; 0]);
    let till = "syntax = \"proto3\";\npackage till;\nmessage M {}\nservice Till { rpc Get(M) returns (M); }";
    tree.write("vendor/till.proto", till);
    assert_eq!(services(&mut files).await, ["till.Till"]);
    fs::remove_file(tree.path("vendor/till.proto")).unwrap();
    assert_eq!(services(&mut files).await, [""; 0]);
}

#[tokio::test]
async fn a_mistake_is_told_with_its_place_and_what_was_read_stays() {
    let tree = Tree::new();
    let mut alone = DescriptorFiles::new(vec![tree.path("api")]);
    let told = alone.current().await.unwrap_err().to_string();
    for part in [
        "shop.proto:3:1: import \"money/money.proto\" is neither in",
        "add the directory that it is relative to: one more `--proto DIR`",
    ] {
        assert!(told.contains(part), "{told}");
    }

    let mut files = DescriptorFiles::new(vec![tree.path("vendor")]);
    files.current().await.unwrap();
    tree.write("vendor/money/money.proto", &MONEY.replace("int64", "int46"));
    let told = files.current().await.unwrap_err().to_string();
    assert!(
        told.contains("money.proto:3:18: name 'int46' is not defined; did you mean 'int64'?"),
        "{told}"
    );
    assert!(
        files
            .declarations()
            .set_of("money.Amount", 10_000)
            .is_some()
    );
    tree.write("vendor/money/money.proto", MONEY);
    files.current().await.unwrap();
}
