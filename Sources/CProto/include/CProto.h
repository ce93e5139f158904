// Everything that Swift sees of protobuf-c: the generated messages and the arena they are unpacked into.
#ifndef CPROTO_H
#define CPROTO_H

#include "arena.h"
#include "dspy_orchestrator/v1/orchestrator.pb-c.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

#endif
