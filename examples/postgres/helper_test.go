package postgres_test

const helperEnv = "ESS_TEST_HELPER"

func help() {}
