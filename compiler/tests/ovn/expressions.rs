//! Random expressions: what is printed is parsed back, whatever it is.

use std::fmt::Write;

use midoform_compiler::ovn::expression::{Expression, Sets, parse};
use proptest::prelude::*;

/// The sets of the tests.
pub(super) struct Known;

impl Sets for Known {
    fn has_address_set(&self, name: &str) -> bool {
        name == "addresses.one"
    }

    fn has_port_group(&self, name: &str) -> bool {
        name == "ports_one"
    }
}

/// A source of numbers: the next one decides the next part of an expression.
pub(super) struct Choices<'c> {
    numbers: std::slice::Iter<'c, u32>,
}

impl<'c> Choices<'c> {
    pub(super) fn of(numbers: &'c [u32]) -> Self {
        Choices { numbers: numbers.iter() }
    }

    fn next(&mut self, most: usize) -> usize {
        self.numbers.next().map_or(0, |number| *number as usize % most)
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.next(from.len())]
    }
}

const FIELDS: &[&str] = &[
    "eth.src",
    "eth.dst",
    "eth.type",
    "vlan.tci",
    "vlan.vid",
    "vlan.pcp",
    "ip.proto",
    "ip.ttl",
    "ip4.src",
    "ip4.dst",
    "ip6.src",
    "ip6.dst",
    "icmp4.type",
    "icmp4.code",
    "arp.op",
    "arp.spa",
    "arp.tpa",
    "arp.sha",
    "arp.tha",
    "tcp.src",
    "tcp.dst",
    "tcp.flags",
    "udp.src",
    "udp.dst",
    "sctp.dst",
    "inport",
    "outport",
    "ct_mark",
    "ct_label",
    "ct_state",
    "ip.dscp",
    "ip.ecn",
    "ip.frag",
    "pkt.mark",
    "nd.target",
    "nd.sll",
    "ip6.label",
    "ip4.srcc",
    "ip4.foo",
];

const TESTS: &[&str] = &[
    "ip4",
    "ip6",
    "ip",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp4",
    "icmp6",
    "arp",
    "nd",
    "nd_ns",
    "nd_na",
    "igmp",
    "eth.bcast",
    "eth.mcast",
    "eth.mcastv6",
    "vlan.present",
    "ip.is_frag",
    "ip.later_frag",
    "ip.first_frag",
    "ip4.mcast",
    "ip4.src_mcast",
    "ip6.mcast",
    "ct.new",
    "ct.est",
    "ct.rel",
    "ct.rpl",
    "ct.inv",
    "ct.trk",
    "ct.dnat",
    "ct.snat",
    "ct_mark.blocked",
    "ct_mark.natted",
    "ip4.src",
    "inport",
    "tcp.dst",
    "1",
    "0",
    "2",
    "tcp4",
];

const CONSTANTS: &[&str] = &[
    "0",
    "1",
    "6",
    "17",
    "80",
    "255",
    "443",
    "8080",
    "65535",
    "65536",
    "0x800",
    "0x806",
    "0x86dd",
    "0x1fff",
    "4095",
    "10.0.0.1",
    "10.0.0.0/8",
    "192.168.1.0/24",
    "10.1.2.3/255.0.255.0",
    "0.0.0.0/0",
    "10.0.0.1/33",
    "fd00::1",
    "fd00::/64",
    "02:00:00:00:00:01",
    "01:00:00:00:00:00/01:00:00:00:00:00",
    "0x10/0xf0",
    "0/0x12",
    "1/3",
    "\"p1\"",
    "\"a \\\"b\\\" \\u00e4\"",
    "$addresses.one",
    "@ports_one",
    "$nothing",
    "@nothing",
    "01",
    "0x",
    "256.1.1.1",
    "::",
    "18446744073709551616",
    "0xffffffffffffffffffffffffffffffff",
];

const RELATIONS: &[&str] = &["==", "==", "==", "!=", "<", "<=", ">", ">="];

fn constants(choices: &mut Choices<'_>, text: &mut String) {
    match choices.next(4) {
        0 => {
            text.push('{');
            for at in 0..choices.next(4) {
                let separator = if at == 0 { "" } else { choices.pick(&[", ", " ", ","]) };
                let _ = write!(text, "{separator}{}", choices.pick(CONSTANTS));
            }
            text.push_str(choices.pick(&["}", ",}", " }", "}"]));
        }
        _ => text.push_str(choices.pick(CONSTANTS)),
    }
}

fn field(choices: &mut Choices<'_>, text: &mut String) {
    text.push_str(choices.pick(FIELDS));
    let bits = choices.pick(&["", "", "", "", "[0]", "[3]", "[0..7]", "[8..15]", "[5..2]", "[200]", "[0..]"]);
    text.push_str(bits);
}

/// Writes a random expression. Many are right, and many are not.
pub(super) fn expression(choices: &mut Choices<'_>, depth: usize, text: &mut String) {
    match choices.next(12) {
        0..=2 if depth > 0 => {
            let operator = choices.pick(&[" && ", " || ", "&&", " and "]);
            let count = 2 + choices.next(2);
            for at in 0..count {
                if at > 0 {
                    text.push_str(operator);
                }
                let is_closed = choices.next(4) > 0;
                text.push_str(if is_closed { "(" } else { "" });
                expression(choices, depth - 1, text);
                text.push_str(if is_closed { ")" } else { "" });
            }
        }
        3 if depth > 0 => {
            text.push_str(choices.pick(&["!(", "!(", "! ("]));
            expression(choices, depth - 1, text);
            text.push(')');
        }
        4 => {
            text.push_str(choices.pick(&["!", "!", "!!"]));
            text.push_str(choices.pick(TESTS));
        }
        5 | 6 => text.push_str(choices.pick(TESTS)),
        7 => {
            text.push_str(choices.pick(CONSTANTS));
            let _ = write!(text, " {} ", choices.pick(&["<", "<=", ">", ">=", "=="]));
            field(choices, text);
            let _ = write!(text, " {} ", choices.pick(&["<", "<=", ">", ">=", "!="]));
            text.push_str(choices.pick(CONSTANTS));
        }
        8 => {
            constants(choices, text);
            let _ = write!(text, " {} ", choices.pick(RELATIONS));
            field(choices, text);
        }
        9 if choices.next(8) == 0 => text.push_str(choices.pick(&[
            "is_chassis_resident(\"p1\")",
            "!is_chassis_resident(\"p1\")",
            "is_chassis_resident(p1)",
            "is_there(\"p1\")",
        ])),
        _ => {
            field(choices, text);
            let _ = write!(text, " {} ", choices.pick(RELATIONS));
            constants(choices, text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_parsed_back(numbers in proptest::collection::vec(any::<u32>(), 4..40)) {
        let mut text = String::new();
        expression(&mut Choices::of(&numbers), 3, &mut text);
        if let Ok(parsed) = parse(&text, &Known) {
            let printed = parsed.to_string();
            prop_assert_eq!(parse(&printed, &Known), Ok(parsed), "{} became {}", text, printed);
        }
    }

    /// Whatever the text: it is parsed or refused.
    #[test]
    fn any_text_is_parsed_or_refused(text in "[ -~\u{e4}\n]{0,40}") {
        let _ = parse(&text, &Known);
    }
}

#[test]
fn forms_and_what_they_become() {
    let cases = [
        ("ip4&&tcp", Ok("ip4 && tcp")),
        ("ip4 && (tcp || udp)", Ok("ip4 && (tcp || udp)")),
        ("ip4 && tcp || udp", Err("`&&` and `||` together need parentheses")),
        ("{80 443,} == tcp.dst", Ok("tcp.dst == {80, 443}")),
        ("tcp.dst == {}", Err("a constant is expected")),
        ("80 < tcp.dst", Ok("tcp.dst > 80")),
        ("8000 <= tcp.dst <= 8100", Ok("8000 <= tcp.dst <= 8100")),
        ("8000 <= tcp.dst >= 8100", Err("a range has the form")),
        ("ip4.src == 10.1.2.3/8", Ok("ip4.src == 10.0.0.0/8")),
        ("ip4.src == 10.1.2.3/255.0.255.0", Ok("ip4.src == 10.0.2.0/255.0.255.0")),
        ("ip4.src != $addresses.one", Ok("ip4.src != $addresses.one")),
        ("ip4.src == $nothing", Err("there is no address set `nothing`")),
        ("inport == @nothing", Err("there is no port group `nothing`")),
        ("inport == \"a\"", Ok("inport == \"a\"")),
        ("inport != \"a\"", Err("`inport` can't be negated")),
        ("!(inport == \"a\")", Err("`inport` can't be negated")),
        ("!(inport != \"a\")", Ok("!(inport != \"a\")")),
        ("!tcp", Err("`tcp` can't be negated")),
        ("eth.type != 0x800", Err("`eth.type` can't be negated")),
        ("icmp4.type > 3", Err("`icmp4.type` can only be compared by `==` here")),
        ("tcp.dst", Err("a field of several bits is compared")),
        ("!tcp.dst", Ok("!tcp.dst")),
        ("!ip4.src == 1.2.3.4", Err("the operand of `!` needs parentheses")),
        ("!!ct.new", Err("a constant is expected")),
        ("tcp.dst == 70000", Err("the constant does not fit `tcp.dst`")),
        ("vlan.tci[12]", Ok("vlan.tci[12]")),
        ("eth.type[0..7] == 1", Err("`eth.type` has no such bits")),
        ("eth.type[0..15] == 0x800", Ok("eth.type[0..15] == 0x800")),
        ("ip4 /* a // b */ && // c\n tcp", Ok("ip4 && tcp")),
        ("ip4 /* a", Err("`/*` has no `*/`")),
        ("tcp.dst == 080", Err("a decimal number has no leading zeros")),
        ("1", Ok("1")),
        ("2", Err("a comparison is expected")),
        ("", Err("a constant is expected")),
        ("ip4)", Err("the end of the expression is expected")),
        ("is_chassis_resident(\"a\")", Ok("is_chassis_resident(\"a\")")),
    ];
    for (text, wanted) in cases {
        match (parse(text, &Known), wanted) {
            (Ok(found), Ok(wanted)) => assert_eq!(found.to_string(), wanted),
            (Err(found), Err(wanted)) => assert!(found.message.starts_with(wanted), "{text}: {found}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
    let deep = format!("{}ip4{}", "(".repeat(100), ")".repeat(100));
    assert!(parse(&deep, &Known).is_ok());
    assert!(parse(&format!("({deep})"), &Known).is_err());
    assert!(parse(&format!("ip4 /*{}*/", " ".repeat(40_000)), &Known).is_err());
}

#[test]
fn nothing_empty_is_built() {
    assert_eq!(Expression::all([]).to_string(), "1");
    assert_eq!(Expression::any([]).to_string(), "0");
    assert_eq!(Expression::ethertypes([]).to_string(), "0");
    assert!(midoform_compiler::ovn::expression::build::Addresses::networks([]).is_none());
}
