//! The paths by which generated code names the crates that it uses.

use prost_build::{Config, Service, ServiceGenerator};

/// The crate that re-exports what a service needs.
const FACADE: &str = "::protomesh";
/// Crates that the generator of `tonic` names without asking for a path.
const NAMED: [&str; 3] = ["tonic", "prost", "prost_types"];

/// Where generated code finds the crates that it uses: `contract`, `prost`, `prost_types`, `tonic`,
/// `tonic_prost` and `store`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paths {
    /// In `protomesh`, the only dependency of a service.
    #[default]
    Facade,
    /// Among the dependencies of the crate itself.
    Crates,
}

/// Writes services as another generator does, with other paths.
struct Rerooted(Box<dyn ServiceGenerator>);

// === impl Paths ===

impl Paths {
    /// Returns the path of a crate.
    pub(crate) fn of(self, name: &str) -> String {
        match self {
            Self::Facade => format!("{FACADE}::{name}"),
            Self::Crates => format!("::{name}"),
        }
    }

    /// Returns the settings of `prost`, with `tonic` as its generator of services.
    pub(crate) fn config(self) -> Config {
        let codec = format!("{}::ProstCodec", self.of("tonic_prost"));
        let services = tonic_prost_build::configure()
            .codec_path(codec)
            .service_generator();
        let mut config = Config::new();
        match self {
            Self::Crates => config.service_generator(services),
            Self::Facade => config
                .prost_path(self.of("prost"))
                .prost_types_path(self.of("prost_types"))
                .service_generator(Box::new(Rerooted(services))),
        };
        config
    }
}

// === impl Rerooted ===

impl ServiceGenerator for Rerooted {
    fn generate(&mut self, service: Service, buf: &mut String) {
        let mut code = String::new();
        self.0.generate(service, &mut code);
        buf.push_str(&reroot(&code));
    }

    fn finalize(&mut self, buf: &mut String) {
        self.0.finalize(buf);
    }

    fn finalize_package(&mut self, package: &str, buf: &mut String) {
        self.0.finalize_package(package, buf);
    }
}

/// Lets paths that begin with a crate of [`NAMED`] begin at the facade; comments stay.
fn reroot(code: &str) -> String {
    let mut out = String::with_capacity(code.len() * 2);
    for line in code.split_inclusive('\n') {
        if line.trim_start().starts_with("//") {
            out.push_str(line);
        } else {
            let rerooted = NAMED
                .iter()
                .fold(line.to_owned(), |line, name| reroot_line(&line, name));
            out.push_str(&rerooted);
        }
    }
    out
}

fn reroot_line(line: &str, name: &str) -> String {
    let path = format!("{name}::");
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(&path) {
        let (before, after) = rest.split_at(at);
        let absolute = before.strip_suffix("::");
        let kept = absolute.unwrap_or(before);
        // `a::tonic` and `<T as A>::tonic` go on with another path.
        let goes_on = kept.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            || (absolute.is_some() && kept.ends_with('>'));
        if goes_on {
            out.push_str(before);
        } else {
            out.push_str(kept);
            out.push_str(FACADE);
            out.push_str("::");
        }
        out.push_str(&path);
        rest = &after[path.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_begin_with_the_crate_are_changed() {
        let code = "\
/// Like `tonic::Status`.
use tonic::codegen::*;
fn f(a: ::prost_types::Any, b: super::tonic::v1::A, c: my_tonic::B) -> Vec<tonic::Status>;
type Q = <T as tonic::client::GrpcService<tonic::body::Body>>::prost::X;
";
        let rerooted = "\
/// Like `tonic::Status`.
use ::protomesh::tonic::codegen::*;
fn f(a: ::protomesh::prost_types::Any, b: super::tonic::v1::A, c: my_tonic::B) \
-> Vec<::protomesh::tonic::Status>;
type Q = <T as ::protomesh::tonic::client::GrpcService<::protomesh::tonic::body::Body>>::prost::X;
";
        assert_eq!(reroot(code), rerooted);
    }
}
