// The generated messages of gRPC's interop tests.
#ifndef CINTEROPPROTO_H
#define CINTEROPPROTO_H

#include "grpc/testing/empty.pb-c.h"
#include "grpc/testing/messages.pb-c.h"

#endif
