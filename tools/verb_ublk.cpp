// SPDX-License-Identifier: Apache-2.0
// ublk: which block devices volumes are served as, and the end of one that no server goes on with.
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "base/process.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/ublk/control.h"
#include "tools/ublk/device.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

struct UblkVerbArguments {
    bool json = false;
    std::uint32_t number = 0;
    bool force = false;
};

std::string state_of(const ublk::DeviceInfo& info) {
    if (info.state == UBLK_S_DEV_LIVE) return "served";
    return info.state == UBLK_S_DEV_DEAD ? "not started" : "waits for a server";
}

// Devices of other programs too: the kernel doesn't tell whose they are.
int list(const UblkVerbArguments& a) {
    const auto driver = ublk::open_driver();
    if (!driver) return report_error("ublk", a.json, driver.error());
    const ublk::Control control(**driver);
    Table table({"device", "state", "size", "process"});
    Json devices = Json::array();
    for (const ublk::DeviceInfo& info : control.all()) {
        const auto parameters = control.parameters(info);
        const std::uint64_t bytes = parameters ? parameters->basic.dev_sectors * 512 : 0;
        const bool served = info.state == UBLK_S_DEV_LIVE;
        table.add({ublk::block_path(info.dev_id), state_of(info), size_text(bytes),
                   served ? describe_process(info.ublksrv_pid) : "-"});
        devices.push_back({{"device", ublk::block_path(info.dev_id)},
                           {"state", state_of(info)},
                           {"bytes", bytes},
                           {"pid", served ? info.ublksrv_pid : 0}});
    }
    if (a.json) {
        Json object = new_object("ublk");
        object["devices"] = std::move(devices);
        print(object);
    } else {
        say("{}", table.text());
    }
    return kDone;
}

Status remove(const UblkVerbArguments& a) {
    const auto driver = ublk::open_driver();
    if (!driver) return fail(driver.error());
    const ublk::Control control(**driver);
    const auto info = control.info(a.number);
    if (!info) return fail(info.error());
    const std::string path = ublk::block_path(a.number);
    if (info->state == UBLK_S_DEV_LIVE && !a.force) {
        return fail(Errc::busy, "{}: {} serves it; end that one, which deletes it, or use --force",
                    path, describe_process(info->ublksrv_pid));
    }
    if (ublk::is_claimed(a.number) && !a.force) {
        return fail(Errc::busy,
                    "{}: it is in use, and what waits in it would be lost; serve its volume again "
                    "and unmount it, or use --force",
                    path);
    }
    QS_TRY(control.stop(*info));
    return control.remove(*info);
}

}  // namespace

void add_ublk(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<UblkVerbArguments>();
    CLI::App* verb =
        app.add_subcommand("ublk", "list and delete the block devices of serve --ublk");
    verb->require_subcommand(1);
    CLI::App* listing = verb->add_subcommand("list", "list every ublk device and its server");
    listing->add_flag("--json", arguments->json, "print one JSON object on stdout");
    listing->callback([arguments, &exit_code] { exit_code = list(*arguments); });
    CLI::App* removal =
        verb->add_subcommand("delete", "delete a device that no server will take again");
    removal->add_option("N", arguments->number, "of /dev/ublkbN")->required();
    removal->add_flag("--force", arguments->force,
                      "even if it is served or in use; its requests fail");
    removal->callback([arguments, &exit_code] {
        const Status removed = remove(*arguments);
        exit_code = removed ? kDone : report_error("ublk", false, removed.error());
    });
}

}  // namespace qlcshape::tools
