use super::*;

#[test]
fn what_is_written_is_read_with_every_digit() {
    for scale in 0..24 {
        for mantissa in [
            0,
            1,
            9,
            10_000,
            12_345,
            10_001_000,
            10_u128.pow(MAX_DIGITS) - 1,
        ] {
            let decimal = ExactDecimal::new(mantissa, scale);

            let mut bytes = Vec::new();
            put(&mut bytes, decimal.mantissa(), decimal.scale());

            assert_eq!(read(&bytes), Some(decimal), "{decimal}");
        }
    }
}

#[test]
fn the_binary_form_is_the_one_of_postgres() {
    // select numeric_send(v) for each.
    for (mantissa, scale, hex) in [
        (15_025, 2, "00020000000000020096 09c4"),
        (1, 22, "0001fffa0000001600 64"),
        (10_000_000_000, 0, "00010002000000000064"),
    ] {
        let mut bytes = Vec::new();
        put(&mut bytes, mantissa, scale);
        let written: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, hex.replace(' ', ""));
    }
}

#[test]
fn what_is_no_average_is_refused() {
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[0, 0, 0, 0, 0xC0, 0, 0, 0]), None, "not a number");
    assert_eq!(read(&[0, 1, 0, 0, 0x40, 0, 0, 0, 0, 5]), None, "negative");
    assert_eq!(
        read(&[0, 1, 0, 100, 0, 0, 0, 0, 0, 5]),
        None,
        "ten to the power of 400"
    );
    assert_eq!(read(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 5]), None, "cut short");
}
