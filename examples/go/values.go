package main

import (
	"crypto/rand"

	drover "drover.dev/examples/go/gen/drover/v1"
)

// requestID names a request; no other has the same.
func requestID() string {
	return rand.Text()
}

// kindOf is the name of an event's kind, as in the .proto file.
func kindOf(event *drover.Event) string {
	message := event.ProtoReflect()
	kind := message.WhichOneof(message.Descriptor().Oneofs().ByName("kind"))
	if kind == nil {
		return ""
	}
	return string(kind.Name())
}

// valueOf is what a resource holds.
func valueOf(value *drover.Value) any {
	switch kind := value.GetKind().(type) {
	case *drover.Value_String_:
		return kind.String_
	case *drover.Value_Integer:
		return kind.Integer
	case *drover.Value_Unsigned:
		return kind.Unsigned
	case *drover.Value_Float:
		return kind.Float
	case *drover.Value_Boolean:
		return kind.Boolean
	case *drover.Value_Opaque:
		return kind.Opaque
	}
	return value.String()
}
