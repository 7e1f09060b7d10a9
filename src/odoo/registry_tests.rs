use super::*;

#[test]
fn a_default_of_the_company_goes_before_one_for_all() {
    let mut field = Field::new("credit_limit", FieldType::Float);
    field.defaults = vec![(Some(2), 5.into()), (None, 7.into())];
    assert_eq!(field.default_for(2), Some(&5.into()));
    assert_eq!(field.default_for(1), Some(&7.into()));
}
