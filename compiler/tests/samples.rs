//! Projects for the tests: the examples, and small ones made of text.

use std::path::Path;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::plan;
use midoform_compiler::plan::Plan;
use midoform_compiler::source::Source;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::{Allocated, Compiled, Input, compile};
use midoform_testutil::root;

/// The examples that are compiled in tests.
pub(crate) const EXAMPLES: [&str; 5] = ["seed", "shared-networks", "many-bridges", "policy", "fleet"];

/// The files of a project.
#[derive(Clone)]
pub(crate) struct Project {
    pub(crate) site: Source,
    pub(crate) tenants: Vec<Source>,
}

impl Project {
    pub(crate) fn example(name: &str) -> Project {
        let folder = root().join("examples").join(name);
        let mut tenants = Vec::new();
        tenant_files(&folder, &folder, &mut tenants);
        let site = std::fs::read_to_string(folder.join("site.toml")).unwrap();
        Project { site: Source::new("site.toml", site), tenants }
    }

    pub(crate) fn of_text(site: &str, tenants: &[(&str, &str)]) -> Project {
        let tenants = tenants.iter().map(|(name, text)| Source::new(*name, *text)).collect();
        Project { site: Source::new("site.toml", site), tenants }
    }

    pub(crate) fn compile(&self) -> Compiled {
        let input = Input { site: &self.site, allocated: Allocated::Nothing, tenants: &self.tenants };
        compile(input).unwrap_or_else(|found| panic!("{found:#?}"))
    }

    /// Compiles the project for a dialect, whatever its site file names.
    pub(crate) fn compile_for(&self, dialect: Dialect) -> Compiled {
        let input = Input { site: &self.site, allocated: Allocated::Nothing, tenants: &self.tenants };
        let mut compiled = self.compile();
        compiled.use_engine(dialect.engine(), &input);
        compiled
    }

    /// Returns the plan against an empty network.
    pub(crate) fn plan(&self, dialect: Dialect) -> Plan {
        let compiled = self.compile_for(dialect);
        plan(&compiled.site.name.value, dialect, &compiled.topology, &Observed::default())
    }
}

fn tenant_files(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.file_name().unwrap().to_string_lossy().starts_with('.') {
            tenant_files(&path, root, found);
        } else if path.extension().is_some_and(|extension| extension == "toml")
            && !path.ends_with("site.toml")
        {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push(Source::new(name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}
