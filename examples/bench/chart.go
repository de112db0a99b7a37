package main

func (b *bench) chart() []byte { return nil }
