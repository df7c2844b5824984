//! Numbers as Grafana writes them (13.2: `valueFormats` of its package `data`), in the units that our panels use.

/// `number` in `unit`; without `decimals`, as many digits as the number needs.
pub fn text(unit: &str, number: f64, decimals: Option<u32>) -> String {
    match unit {
        "locale" => grouped(number, decimals),
        "short" => scaled(number, decimals, &[(1.0, ""), (1e3, " K"), (1e6, " Mil"), (1e9, " Bil")]),
        "percentunit" => format!("{}%", fixed(100.0 * number, decimals)),
        "s" if number == 0.0 => "0 s".into(),
        "s" if number.abs() < 1.0 => format!("{} ms", fixed(number * 1e3, decimals)),
        "s" if number.abs() < 60.0 => format!("{} s", fixed(number, decimals)),
        "s" => {
            let steps =
                [(60.0, " min"), (3_600.0, " hour"), (86_400.0, " day"), (604_800.0, " week"), (31_556_900.0, " year")];
            plural(scaled(number, decimals, &steps))
        }
        "ms" => {
            let steps =
                [(1.0, " ms"), (1e3, " s"), (6e4, " min"), (3.6e6, " hour"), (8.64e7, " day"), (3.1536e10, " year")];
            plural(scaled(number, decimals, &steps))
        }
        _ => fixed(number, decimals),
    }
}

/// In the largest step that is not larger than the number.
fn scaled(number: f64, decimals: Option<u32>, steps: &[(f64, &str)]) -> String {
    let step = steps.iter().rev().find(|(size, _)| number.abs() >= *size).or(steps.first());
    let (size, name) = step.copied().unwrap_or((1.0, ""));
    fixed(number / size, decimals) + name
}

/// "1 min", but "1.5 mins".
fn plural(text: String) -> String {
    let more =
        text.split(' ').next().and_then(|number| number.parse::<f64>().ok()).is_some_and(|number| number.abs() > 1.0);
    let word = [" min", " hour", " day", " week", " year"].iter().any(|unit| text.ends_with(unit));
    if more && word { text + "s" } else { text }
}

/// Thousands apart.
fn grouped(number: f64, decimals: Option<u32>) -> String {
    let text = if number.fract() == 0.0 { format!("{number}") } else { fixed(number, Some(decimals.unwrap_or(3))) };
    let (whole, rest) = text.find('.').map_or((text.as_str(), ""), |at| text.split_at(at));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

fn fixed(number: f64, decimals: Option<u32>) -> String {
    format!("{number:.*}", decimals.map_or_else(|| needed(number), |decimals| decimals as usize))
}

/// About three digits in all.
fn needed(number: f64) -> usize {
    if number.fract() == 0.0 {
        return 0;
    }
    let mut digits = 1 - number.abs().log10().floor() as i32;
    if number.abs() / 10f64.powi(-digits) > 2.25 {
        digits += 1;
    }
    usize::try_from(digits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn numbers_read_as_grafana_writes_them() {
        for (unit, number, decimals, expected) in [
            ("locale", 1_456.0, None, "1,456"),
            ("locale", -1_234_567.0, None, "-1,234,567"),
            ("locale", 999.0, None, "999"),
            ("short", 1_456.0, None, "1.46 K"),
            ("short", 0.0, None, "0"),
            ("percentunit", 0.641, Some(0), "64%"),
            ("s", 583.28, Some(1), "9.7 mins"),
            ("s", 0.056, Some(1), "56.0 ms"),
            ("s", 60.0, None, "1 min"),
            ("s", 15.122, Some(1), "15.1 s"),
            ("s", 3_456_000.0, Some(0), "6 weeks"),
            ("ms", 583_280.0, None, "9.72 mins"),
            ("ms", 56.0, None, "56 ms"),
            ("none", 12.5, None, "12.5"),
        ] {
            assert_eq!(text(unit, number, decimals), expected, "{number} {unit}");
        }
    }
}
