//! The files of new projects and services.

use clap::ValueEnum;

use crate::name;

/// A file: its path in the project, and its text. Both have placeholders.
pub(crate) type File = (&'static str, &'static str);

/// The language of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// A Cargo package on the crate protomesh
    #[default]
    Rust,
    /// A module on grpcio
    Python,
    /// A module on google.golang.org/grpc
    Go,
}

macro_rules! files {
    ($dir:literal: $($path:literal = $file:literal,)*) => {
        &[$(($path, include_str!(concat!("../templates/", $dir, "/", $file)))),*]
    };
}

/// The files of a project without services.
pub(crate) const PROJECT: &[File] = files! { "project":
    "mesh.toml" = "mesh.toml",
    ".gitignore" = "gitignore",
    "README.md" = "README.md",
};

/// The files of a project with Rust services.
pub(crate) const WORKSPACE: &[File] = files! { "project":
    "Cargo.toml" = "Cargo.toml.tmpl",
    "rustfmt.toml" = "rustfmt.toml",
};

const RUST: &[File] = files! { "rust":
    "proto/{{name}}/v1/{{name}}_service.proto" = "service.proto",
    "proto/{{name}}/v1/{{name}}_events.proto" = "events.proto",
    "services/{{name}}/Cargo.toml" = "Cargo.toml.tmpl",
    "services/{{name}}/README.md" = "README.md",
    "services/{{name}}/build.rs" = "build.rs.tmpl",
    "services/{{name}}/config.default.toml" = "config.default.toml",
    "services/{{name}}/migrations/0001_item.down.sql" = "migration.down.sql",
    "services/{{name}}/migrations/0001_item.up.sql" = "migration.up.sql",
    "services/{{name}}/src/events.rs" = "events.rs",
    "services/{{name}}/src/lib.rs" = "lib.rs",
    "services/{{name}}/src/main.rs" = "main.rs",
    "services/{{name}}/src/model.rs" = "model.rs",
    "services/{{name}}/src/rpc.rs" = "rpc.rs",
    "services/{{name}}/src/store.rs" = "store.rs",
    "services/{{name}}/tests/end_to_end.rs" = "end_to_end.rs",
};

const PYTHON: &[File] = files! { "python":
    "proto/{{name}}/v1/{{name}}_service.proto" = "../common/service.proto",
    "services/{{name}}/README.md" = "README.md",
    "services/{{name}}/build.py" = "build.py",
    "services/{{name}}/main.py" = "main.py",
    "services/{{name}}/requirements.txt" = "requirements.txt",
    "services/{{name}}/test_main.py" = "test_main.py",
};

const GO: &[File] = files! { "go":
    "proto/{{name}}/v1/{{name}}_service.proto" = "../common/service.proto",
    "services/{{name}}/README.md" = "README.md",
    "services/{{name}}/generate/main.go" = "generate.go",
    "services/{{name}}/go.mod" = "go.mod.tmpl",
    "services/{{name}}/go.sum" = "go.sum.tmpl",
    "services/{{name}}/main.go" = "main.go",
    "services/{{name}}/main_test.go" = "main_test.go",
};

// === impl Lang ===

impl Lang {
    /// Returns the files of a service.
    pub(crate) fn files(self) -> &'static [File] {
        match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::Go => GO,
        }
    }

    /// Returns its table in `mesh.toml`.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Rust => include_str!("../templates/rust/mesh.toml"),
            Self::Python => include_str!("../templates/python/mesh.toml"),
            Self::Go => include_str!("../templates/go/mesh.toml"),
        }
    }
}

/// Replaces the placeholders by the forms of a name.
pub(crate) fn render(text: &str, name: &str) -> String {
    text.replace("{{name}}", name)
        .replace("{{Name}}", &name::camel(name))
        .replace("{{kebab}}", &name.replace('_', "-"))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_and_no_file_is_named_twice() {
        for lang in [Lang::Rust, Lang::Python, Lang::Go] {
            let mut paths = std::collections::BTreeSet::new();
            for (path, text) in [PROJECT, WORKSPACE, lang.files()].concat() {
                let (path, text) = (render(path, "line_item"), render(text, "line_item"));
                assert!(!path.contains("{{") && !text.contains("{{"), "{path}");
                assert!(paths.insert(path.clone()), "{path} is there twice");
            }
            let table: toml::Table = render(lang.table(), "line_item").parse().unwrap();
            assert!(table["services"]["line_item"].is_table());
        }
    }
}
