//! The MTU inside pods follows the encapsulation of the tunnels.

use midoform_compiler::diagnostic::{Code, Diagnostic};
use midoform_compiler::source::Source;
use midoform_compiler::{Allocated, Compiled, Input, compile};

const MIDONET: &str = "[midonet]\nembedded = true\nmanaged = true\n";
const GRE: &str = "[tunnel_zone]\nname = \"z\"\ntype = \"gre\"\n";
const VXLAN: &str = "[tunnel_zone]\nname = \"z\"\n";

fn compiled(site: &str, tenant: &str) -> Result<Compiled, Vec<Diagnostic>> {
    let site = Source::new("site.toml", site);
    let tenants = [Source::new("t.toml", format!("name = \"t\"\n{tenant}[[bridge]]\nname = \"web\"\n"))];
    compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants })
}

fn site(underlay: &str, more: &str) -> String {
    format!("name = \"s\"\n{underlay}{MIDONET}{more}")
}

#[test]
fn the_default_is_what_fits_the_tunnels() {
    for (underlay, zone, default, most) in [
        ("", GRE, 1454, 1454),
        ("", VXLAN, 1450, 1450),
        ("", "", 1450, 1454),
        ("underlay_mtu = 9000\n", GRE, 8954, 8954),
        ("underlay_mtu = 9000\n", VXLAN, 8950, 8950),
        ("underlay_mtu = 1400\n", VXLAN, 1350, 1350),
    ] {
        let site = site(underlay, zone);
        let made = compiled(&site, "").unwrap();
        assert_eq!((made.site.default_mtu(), made.site.largest_mtu()), (default, most), "{site}");
        assert!(compiled(&site, &format!("mtu = {most}\n")).is_ok(), "{site}");
        for (site, tenant) in [
            (site.clone(), format!("mtu = {}\n", most + 1)),
            (format!("{site}[defaults]\nmtu = {}\n", most + 1), String::new()),
        ] {
            let found = compiled(&site, &tenant).unwrap_err();
            let [error] = found.as_slice() else { panic!("{found:#?}") };
            assert_eq!(error.code, Code::MtuTooLarge);
            let text = if tenant.is_empty() { site } else { format!("name = \"t\"\n{tenant}") };
            let span = error.span();
            assert_eq!(text[span.start as usize..span.end as usize], (most + 1).to_string());
        }
    }
}
