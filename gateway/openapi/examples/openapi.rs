//! Prints the OpenAPI document of proto files: `openapi TITLE VERSION INCLUDE_DIR... -- FILE...`;
//! notes go to standard error.

use std::error::Error;
use std::io::Write;

use openapi::Info;
use protox::Compiler;
use protox::file::{ChainFileResolver, GoogleFileResolver, IncludeFileResolver};
use transcoder::Schema;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut halves = arguments.split(|argument| argument == "--");
    let (Some([title, version, includes @ ..]), Some(files)) = (halves.next(), halves.next())
    else {
        return Err("usage: openapi TITLE VERSION INCLUDE_DIR... -- FILE...".into());
    };
    let set = descriptor_set(includes, files)?;
    let info = Info {
        title: title.clone(),
        version: version.clone(),
        ..Info::default()
    };
    let document = openapi::document(&Schema::compile(&set)?, &set, &info)?;
    for note in &document.notes {
        writeln!(std::io::stderr(), "{note}")?;
    }
    std::io::stdout().write_all(document.json.as_bytes())?;
    Ok(())
}

/// With comments and lines.
fn descriptor_set(includes: &[String], files: &[String]) -> Result<Vec<u8>, protox::Error> {
    let mut resolver = ChainFileResolver::new();
    for include in includes {
        resolver.add(IncludeFileResolver::new(include.into()));
    }
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    for file in files {
        compiler.open_file(file)?;
    }
    Ok(compiler.encode_file_descriptor_set())
}
